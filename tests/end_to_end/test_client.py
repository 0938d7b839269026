"""headrace.client against a real server: all routes, and a listener across lost connections."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from tests.end_to_end.conftest import Serve
from tests.helpers.site import API_KEY, SECRET, Site, opened, recv

from headrace.client import (
    AsyncClient,
    Client,
    Listener,
    ListenerEvent,
    ListenerEventKind,
    RequestError,
    Send,
    Sent,
    UnreachableError,
)
from headrace.errors import RevokedTokenError

IDS = ["alice", "a/b", "-a--b=c&d+e f?#%", "é" * 128, "x" * 256, "..", "\x00\r\n", "😀"]


@pytest.fixture
async def client(site: Site) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(site.url, API_KEY, retry_s=0) as client:
        yield client


async def next_data(listener: Listener) -> str:
    """Return the data of the next message."""
    async with asyncio.timeout(10):
        return (await anext(listener)).data


async def until_online(site: Site, client_id: str, sessions: int = 1) -> None:
    """Wait until a client has this number of sessions."""
    async with AsyncClient(site.url, API_KEY) as client, asyncio.timeout(10):
        while (await client.presence(client_id)).sessions != sessions:
            pass


@pytest.mark.parametrize("client_id", IDS)
async def test_every_route(site: Site, client: AsyncClient, client_id: str) -> None:
    channel = await client.create_channel(client_id, groups=[client_id])
    assert channel.client_id == client_id
    offline = await client.presence(client_id)
    assert (offline.client_id, offline.online, offline.since, offline.sessions) == (
        client_id, False, None, 0,
    )  # fmt: skip
    async with site.connect(channel.token) as page:
        assert (await opened(page))["client_id"] == client_id
        sent = await client.send("to the client", to=client_id)
        assert await recv(page) == {"id": sent.id, "data": "to the client"}
        assert sent.sessions == 1

        presence = await client.presence(client_id)
        assert (presence.online, presence.sessions) == (True, 1)
        assert presence.since is not None
        group = await client.presence_of_group(client_id)
        assert (group.group, group.count, group.clients) == (client_id, 1, (presence,))

        assert await client.join(client_id, "another") == 1
        await client.send("to another", group="another")
        assert (await recv(page))["group"] == "another"
        assert await client.leave(client_id, client_id) == 1
        assert (await client.send("to the group", group=client_id)).sessions == 0

        stats = await client.stats()
        assert (stats.sessions, stats.clients, stats.messages) == (1, 1, 3)

        assert await client.revoke(client_id) == 1
        await page.wait_closed()
        assert page.close_code == 4003


def call_blocking_client(url: str) -> list[object]:
    with Client(url, API_KEY, retry_s=0) as client:
        channel = client.create_channel("alice", duration_minutes=1)
        return [
            channel.client_id,
            client.send("Hello", to=["alice", "bob"]).sessions,
            client.presence("alice").online,
            client.presence_of_group("lobby").count,
            client.join("alice", "lobby"),
            client.leave("alice", "lobby"),
            client.revoke("alice"),
            client.stats().messages,
            [answer.sessions for answer in client.send_batch([Send(data="x", everyone=True)])
             if isinstance(answer, Sent)],
        ]  # fmt: skip


async def test_the_blocking_client(site: Site) -> None:
    assert await asyncio.to_thread(call_blocking_client, site.url) == [
        "alice", 0, False, 0, 0, 0, 0, 1, [0],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "status", "detail"),
    [
        ({}, 400, "exactly one target"),
        ({"to": "alice", "everyone": True}, 400, "exactly one target"),
        ({"to": ""}, 400, "client ID '' is 0 bytes"),
        ({"group": "x" * 257}, 400, "must be 1 to 256"),
        ({"to": "alice", "data": "x" * 32769}, 413, "at most 32768"),
        ({"to": "alice", "idempotency_key": ""}, 400, "idempotency_key.* is 0 bytes"),
    ],
)
async def test_error_responses(
    client: AsyncClient, arguments: dict[str, str], status: int, detail: str
) -> None:
    with pytest.raises(RequestError, match=detail) as caught:
        await client.send(**{"data": "Hello", **arguments})  # type: ignore[arg-type]  # some are wrong
    assert caught.value.status == status


async def test_a_wrong_key(site: Site) -> None:
    async with AsyncClient(site.url, "another-key") as client:
        with pytest.raises(RequestError, match=r"(?i)api key") as caught:
            await client.send("Hello", to="alice")
    assert caught.value.status == 401
    assert dict(caught.value.headers)["www-authenticate"] == "Bearer"


async def test_an_idempotency_key_sends_once(site: Site, client: AsyncClient) -> None:
    async with client.listen("alice") as messages:
        waiting = asyncio.ensure_future(next_data(messages))
        await until_online(site, "alice")
        one = await client.send("one", to="alice", idempotency_key="k")
        again = await client.send("one", to="alice", idempotency_key="k")
        await client.send("two", to="alice")
        assert one == again
        assert await waiting == "one"
        assert await next_data(messages) == "two"


async def test_a_batch(site: Site, client: AsyncClient) -> None:
    count = 2500

    def sends() -> list[Send]:
        made = [Send(data=str(number), to="alice") for number in range(count)]
        made[1234] = Send(data="1234")
        return made

    answers = [answer async for answer in client.send_batch(sends())]
    assert len(answers) == count
    bad = answers.pop(1234)
    assert isinstance(bad, RequestError)
    assert (bad.status, "exactly one target" in bad.detail) == (400, True)
    ids = [answer.id for answer in answers if isinstance(answer, Sent)]
    assert len(set(ids)) == len(answers) == count - 1
    assert (await client.stats()).messages == count - 1


async def test_a_token_minted_with_the_secret(site: Site) -> None:
    async with AsyncClient(site.url, secret=SECRET) as client:
        channel = await client.create_channel("é", groups=["lobby"])
    async with site.connect(channel.token) as page:
        frame = await opened(page)
    assert (frame["client_id"], frame["expires_at"]) == ("é", channel.expires_at)


# --- listening ------------------------------------------------------------------------------------


async def test_listening(site: Site, client: AsyncClient) -> None:
    async with client.listen("alice", groups=["lobby"]) as messages:
        waiting = asyncio.ensure_future(anext(messages))
        await until_online(site, "alice")
        sent = await client.send("Grüße", group="lobby")
        message = await waiting
        assert (message.id, message.data, message.group) == (sent.id, "Grüße", "lobby")
    await until_online(site, "alice", sessions=0)


async def test_nothing_is_lost_before_the_first_connection(site: Site, client: AsyncClient) -> None:
    token = (await client.create_channel("alice")).token
    await client.send("early", to="alice")
    async with client.listen(token=token) as messages:
        assert await next_data(messages) == "early"


async def test_a_cancelled_wait_loses_nothing(site: Site, client: AsyncClient) -> None:
    async with client.listen("alice") as messages:
        for number in range(20):
            waiting = asyncio.ensure_future(anext(messages))
            await until_online(site, "alice")
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await client.send(str(number), to="alice")
            assert await next_data(messages) == str(number)


async def test_a_lost_connection_resumes(site: Site, client: AsyncClient) -> None:
    events: list[ListenerEvent] = []
    async with client.listen("alice", on_event=events.append) as messages:
        await client.send("one", to="alice")
        waiting = asyncio.ensure_future(next_data(messages))
        await until_online(site, "alice")
        await client.send("one", to="alice")
        assert await waiting == "one"
        assert messages._websocket is not None
        messages._websocket.abort()
        await client.send("two", to="alice")
        assert await next_data(messages) == "two"
    assert [event.kind for event in events] == [ListenerEventKind.LOST]


async def test_a_server_that_restarts(serve: Serve) -> None:
    events: list[ListenerEvent] = []
    first_site = await serve()
    async with (
        AsyncClient(first_site.url, API_KEY) as client,
        client.listen("alice", on_event=events.append) as messages,
    ):
        waiting = asyncio.ensure_future(next_data(messages))
        await until_online(first_site, "alice")
        await first_site.server.stop()
        site = await serve(port=first_site.port)
        await until_online(site, "alice")
        sent = await client.send("again", to="alice")
        assert await waiting == "again"
        assert sent.sessions == 1
    kinds = {event.kind for event in events}
    assert ListenerEventKind.LOST in kinds  # and GAP: the new server has no history


async def test_revoked_while_listening(site: Site, client: AsyncClient) -> None:
    async with client.listen("alice") as messages:
        waiting = asyncio.ensure_future(anext(messages))
        await until_online(site, "alice")
        await client.revoke("alice")
        with pytest.raises(RevokedTokenError):
            await waiting


async def test_leaving_the_loop_closes_the_connection(site: Site, client: AsyncClient) -> None:
    token = (await client.create_channel("alice")).token
    await client.send("early", to="alice")
    async for message in client.listen(token=token):
        assert message.data == "early"
        break
    await until_online(site, "alice", sessions=0)


async def test_closing_the_client_closes_its_listeners(site: Site, client: AsyncClient) -> None:
    listener = client.listen("alice")
    waiting = asyncio.ensure_future(anext(listener))
    await until_online(site, "alice")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await client.close()
    await until_online(site, "alice", sessions=0)
    assert [message async for message in listener] == []


async def test_listen_takes_a_client_id_or_a_token(client: AsyncClient) -> None:
    for arguments in ({}, {"client_id": "alice", "token": "a.b.c"}):
        with pytest.raises(TypeError, match="either a client ID or a token"):
            client.listen(**arguments)  # type: ignore[arg-type]  # the error under test


# --- TLS ------------------------------------------------------------------------------------------


async def test_a_private_certificate_authority(serve: Serve, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(chain)
    certificate.private_key_pem.write_to_path(key)
    site = await serve(tls_cert=str(chain), tls_key=str(key))
    tls = ssl.create_default_context()
    authority.configure_trust(tls)

    async with AsyncClient(site.url, API_KEY, tls=tls) as client:
        token = (await client.create_channel("alice")).token
        await client.send("early", to="alice")
        async with client.listen(token=token) as messages:
            assert await next_data(messages) == "early"

    def get_messages(tls: ssl.SSLContext | None) -> float:
        with Client(site.url, API_KEY, tls=tls, retry_s=0) as client:
            return client.stats().messages

    assert await asyncio.to_thread(get_messages, tls) == 1
    with pytest.raises(UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        await asyncio.to_thread(get_messages, None)
