"""headrace.webhooks against an application that others' code verifies: headers, retries, bounds."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from tests.server.application import CAME, MESSAGE, WENT, Application, running_application
from tests.server.kit import SECRET

from headrace import limits
from headrace.application import UpdateMessage
from headrace.errors import ConfigError, RequestError
from headrace.presence import Change
from headrace.webhooks import Webhooks

OTHER = "the secret before, 32 bytes long"

Connect = Callable[..., Webhooks]


@pytest.fixture
async def application() -> AsyncIterator[Application]:
    async with running_application() as application:
        yield application


@pytest.fixture
async def connect(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Connect]:
    """Make the sender, as `connect()`; it ends by itself."""
    monkeypatch.setattr(limits, "NOTICE_WAIT_FIRST_S", 0.02)
    monkeypatch.setattr(limits, "NOTICE_WAIT_MAX_S", 0.5)
    monkeypatch.setattr(limits, "PROBE_WAIT_MAX_S", 0.2)
    monkeypatch.setattr(limits, "NOTICES_DRAIN_S", 0.5)
    async with AsyncExitStack() as stack:

        def make(path: str = "", secrets: tuple[str, ...] = (SECRET,)) -> Webhooks:
            webhooks = Webhooks(application.url + path, secrets)
            stack.push_async_callback(webhooks.aclose)
            return webhooks

        yield make


@pytest.fixture
async def webhooks(connect: Connect) -> Webhooks:
    return connect()


def come(webhooks: Webhooks, *client_ids: str) -> None:
    for client_id in client_ids:
        webhooks.presence_changed(Change(client_id, connected=True))


def go(webhooks: Webhooks, *client_ids: str) -> None:
    for client_id in client_ids:
        webhooks.presence_changed(Change(client_id, connected=False))


async def refusal(webhooks: Webhooks, sender: str = "alice") -> RequestError:
    with pytest.raises(RequestError) as caught:
        await webhooks.receive(UpdateMessage(sender, "the data"))
    assert caught.value.status == 503
    assert dict(caught.value.headers)["retry-after"] == str(limits.RETRY_AFTER_S)
    assert "the data" not in caught.value.detail
    return caught.value


# --- the requests ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "client_id",
    ["alice", "a/b-c--d=e&f+g h", "-", "%2F", "Zoë žluť 日本 🎈", "x" * 256, "é" * 128, "\x00\r\n"],
)
async def test_a_notice_is_a_form_that_holds_any_client_id(
    application: Application, webhooks: Webhooks, client_id: str
) -> None:
    come(webhooks, client_id)
    go(webhooks, client_id)
    await application.until_told((CAME, client_id), (WENT, client_id))
    for post in application.posts:
        assert post.headers["content-type"] == "application/x-www-form-urlencoded"
        assert post.headers["user-agent"].startswith("headrace/")
        assert "cookie" not in post.headers


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (UpdateMessage("alice", "hi"), {}),
        (UpdateMessage("alice", "hi", ("bob",)), {"to": "bob"}),
        (UpdateMessage("alice", "hi", ("bob", "eve")), {"to": ["bob", "eve"]}),
        (UpdateMessage("alice", "hi", (), "lobby"), {"group": "lobby"}),
    ],
)
async def test_an_update_message_is_json(
    application: Application,
    webhooks: Webhooks,
    message: UpdateMessage,
    fields: dict[str, object],
) -> None:
    await webhooks.receive(message)
    assert application.messages == [{"from": "alice", "data": "hi", **fields}]
    assert application.posts[0].headers["content-type"] == "application/json"


async def test_each_secret_signs_so_that_secrets_can_be_rotated(
    application: Application, connect: Connect
) -> None:
    webhooks = connect(secrets=(SECRET, OTHER))
    application.secrets = [SECRET, OTHER]  # each one verifies
    come(webhooks, "a")
    await application.until_told((CAME, "a"))
    first, second = application.posts[0].headers["webhook-signature"].split(" ")
    assert first.startswith("v1,")
    webhooks.use_secrets([OTHER])
    application.secrets = [OTHER]
    go(webhooks, "a")
    await application.until_told((CAME, "a"), (WENT, "a"))
    assert application.posts[1].headers["webhook-signature"] not in (first, second)
    assert " " not in application.posts[1].headers["webhook-signature"]


async def test_an_id_stays_the_same_while_one_thing_is_repeated_and_is_never_used_again(
    application: Application, webhooks: Webhooks, connect: Connect
) -> None:
    statuses = iter([500, 503, 200, 200])
    application.answer = lambda kind, body: next(statuses)
    come(webhooks, "a")
    await application.until(lambda: len(application.posts) == 3)
    go(webhooks, "a")
    await application.until(lambda: len(application.posts) == 4)
    application.answer = lambda kind, body: 200
    await webhooks.receive(UpdateMessage("a", "x"))
    await webhooks.receive(UpdateMessage("a", "x"))
    again = connect()
    come(again, "a")
    await application.until(lambda: len(application.posts) == 7)
    ids = [post.headers["webhook-id"] for post in application.posts]
    assert ids[0] == ids[1] == ids[2]
    assert len(set(ids)) == 5


async def test_the_base_url_may_have_a_path_and_credentials(
    connect: Connect, application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    port = application.port
    webhooks = Webhooks(f"http://user:p%40ss@127.0.0.1:{port}/", [SECRET])
    come(webhooks, "a")
    await application.until_told((CAME, "a"))
    assert application.posts[0].headers["authorization"] == "Basic dXNlcjpwQHNz"
    await webhooks.aclose()
    missing = connect("/nowhere")
    assert "p%40ss" not in caplog.text
    await refusal(missing)
    assert "answers 404" in caplog.text


async def test_no_cookie_is_sent_back(application: Application, webhooks: Webhooks) -> None:
    application.headers = {"set-cookie": "session=1"}
    come(webhooks, "a", "b")
    await application.until(lambda: len(application.notices) == 2)
    go(webhooks, "a")
    await application.until(lambda: len(application.notices) == 3)
    assert all("cookie" not in post.headers for post in application.posts)


@pytest.mark.parametrize("url", ["http://[::1", "http://host:port", "http://\x00/"])
async def test_a_url_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigError, match="app_url cannot be used"):
        Webhooks(url, [SECRET])


# --- notices -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_taken(application: Application, webhooks: Webhooks, status: int) -> None:
    application.answer = lambda kind, body: status
    come(webhooks, "a")
    await application.until_told((CAME, "a"))
    await webhooks.receive(UpdateMessage("a", "x"))
    assert (webhooks.waiting, webhooks.delivered) == (0, 1)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 408, 410, 429, 500, 503])
async def test_anything_else_is_repeated_and_told_once(
    application: Application,
    webhooks: Webhooks,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "headrace")
    application.headers = {"location": "/elsewhere"} if status < 400 else {}
    statuses = iter([status] * 4)
    application.answer = lambda kind, body: next(statuses, 200)
    come(webhooks, "a")
    await application.until_told((CAME, "a"))
    await webhooks.aclose()
    assert [post.status for post in application.posts] == [status] * 4 + [200]
    warning, info = [record.getMessage() for record in caplog.records]
    assert f"it answers {status}" in warning
    assert "/_ah/channel/connected/" in warning
    assert ("app_url" in warning) is (status < 400)
    assert "answers again" in info


async def test_retry_after_is_kept_to(application: Application, webhooks: Webhooks) -> None:
    application.headers = {"retry-after": "60"}  # but no longer than the longest wait of ours
    statuses = iter([429])
    application.answer = lambda kind, body: next(statuses, 200)
    loop = asyncio.get_running_loop()
    started = loop.time()
    come(webhooks, "a")
    await application.until_told((CAME, "a"))
    assert loop.time() - started >= limits.NOTICE_WAIT_MAX_S


async def test_no_more_than_so_many_are_under_way(
    application: Application, webhooks: Webhooks
) -> None:
    may_answer = asyncio.Event()

    async def wait() -> int:
        await may_answer.wait()
        return 200

    application.answer = lambda kind, body: wait()
    come(webhooks, *[str(number) for number in range(100)])
    await application.until(lambda: application.under_way >= limits.NOTICES_AT_A_TIME)
    may_answer.set()
    await application.until(lambda: len(application.notices) == 100)
    assert application.most_under_way == limits.NOTICES_AT_A_TIME


async def test_a_client_whose_notices_fail_holds_up_nobody_else(
    application: Application, webhooks: Webhooks
) -> None:
    application.answer = lambda kind, body: 500 if "bad" in body else 200
    come(webhooks, "bad")
    for number in range(20):
        come(webhooks, str(number))
        await application.until(lambda n=number: len(application.notices) == n + 1)  # type: ignore[misc]  # a default binds it
    assert webhooks.waiting >= 1


async def test_an_application_that_hangs_is_given_up_and_tried_again(
    application: Application,
    webhooks: Webhooks,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(limits, "NOTICE_TIMEOUT_S", 0.2)
    hangs = True

    async def hang() -> int:
        if hangs:
            await asyncio.Event().wait()
        return 200

    application.answer = lambda kind, body: hang()
    come(webhooks, "a")
    await refusal(webhooks, "b")
    assert "does not answer in time" in caplog.text
    hangs = False
    await application.until_told((CAME, "a"))


async def test_an_answer_without_an_end_counts_by_its_status() -> None:
    """And does not hold up the next one."""
    seen = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"from=a")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n" + b"x" * 200_000)
        seen.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    webhooks = Webhooks(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", [SECRET])
    come(webhooks, "a")
    await seen.wait()
    await webhooks.aclose()
    assert (webhooks.delivered, webhooks.waiting) == (1, 0)
    server.close()
    await server.wait_closed()


# --- outages -----------------------------------------------------------------------------------


async def test_a_down_application_loses_nothing_and_recovers_quickly(
    application: Application, webhooks: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "headrace")
    clients = [f"client {number}" for number in range(200)]
    come(webhooks, *clients[:100])
    await application.until(lambda: len(application.notices) == 100)
    await application.down()
    expected = {client: [CAME] for client in clients}
    come(webhooks, *clients[100:])
    for _ in range(10):
        for client in clients[::3]:
            if expected[client][-1] == CAME:
                go(webhooks, client)
                expected[client].append(WENT)
            else:
                come(webhooks, client)
                expected[client].append(CAME)
        await refusal(webhooks, clients[0])
    loop = asyncio.get_running_loop()
    await application.up()
    started = loop.time()
    await application.until(lambda: len(application.notices) == sum(map(len, expected.values())))
    assert loop.time() - started < 20
    assert {client: application.notices_of(client) for client in clients} == expected
    assert webhooks.dropped == 0
    texts = [record.getMessage() for record in caplog.records]
    assert len([text for text in texts if "answers again" in text]) == 1
    assert len(texts) <= 4


async def test_past_the_bound_final_states_survive_and_the_log_says_how_many_did_not(
    application: Application,
    webhooks: Webhooks,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(limits, "NOTICES_MAX_COUNT", 100)
    monkeypatch.setattr(limits, "NOTICES_DRAIN_S", 30.0)
    await application.down()
    clients = [str(number) for number in range(50)]
    for _ in range(5):
        come(webhooks, *clients)
        go(webhooks, *clients)
    come(webhooks, *clients)
    assert (webhooks.waiting, webhooks.dropped) == (100, 450)
    assert 1 < len([r for r in caplog.records if "were dropped" in r.getMessage()]) < 12
    await application.up()
    await webhooks.aclose()
    for client in clients:
        assert application.notices_of(client)[-2:] == [WENT, CAME]


# --- update-messages ---------------------------------------------------------------------------


async def test_an_update_message_does_not_overtake_its_client_s_notice(
    application: Application, webhooks: Webhooks
) -> None:
    may_answer = asyncio.Event()

    async def wait() -> int:
        await may_answer.wait()
        return 200

    application.answer = lambda kind, body: wait() if kind == CAME else 200
    come(webhooks, "a")
    sent = [
        asyncio.create_task(webhooks.receive(UpdateMessage("a", str(number))))
        for number in range(10)
    ]
    await application.until(lambda: application.under_way)
    go(webhooks, "a")
    await webhooks.receive(UpdateMessage("b", "other"))  # others do not wait
    assert [post.kind for post in application.posts] == [MESSAGE]
    may_answer.set()
    await asyncio.gather(*sent)
    await application.until(lambda: len(application.posts) == 13)
    assert [post.kind for post in application.posts[1:]] == [CAME, *[MESSAGE] * 10, WENT]
    assert [one["data"] for one in application.messages[1:]] == list("0123456789")


async def test_a_message_the_application_refuses_is_503_and_is_not_repeated(
    application: Application, webhooks: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    application.answer = lambda kind, body: 403
    error = await refusal(webhooks)
    assert "does not take messages now" in error.detail
    await refusal(webhooks)
    assert len(application.posts) == 2
    assert len(caplog.records) == 1
    assert "the data" not in caplog.text


async def test_an_application_that_cannot_be_reached(
    application: Application, webhooks: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    await application.down()
    await refusal(webhooks)
    come(webhooks, "alice")
    await refusal(webhooks)
    await application.up()
    await application.until_told((CAME, "alice"))
    await webhooks.receive(UpdateMessage("alice", "x"))


async def test_a_message_finds_an_application_that_has_just_come_back(
    application: Application, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "NOTICE_WAIT_FIRST_S", 3600.0)
    monkeypatch.setattr(limits, "NOTICE_WAIT_MAX_S", 3600.0)
    await application.down()
    come(webhooks, "alice")
    await refusal(webhooks)
    await application.up()
    await webhooks.receive(UpdateMessage("alice", "x"))
    assert [post.kind for post in application.posts] == [CAME, MESSAGE]


async def test_too_many_bytes_that_wait_are_refused(
    application: Application, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MESSAGES_WAITING_MAX_BYTES", 100)
    may_answer = asyncio.Event()

    async def wait() -> int:
        await may_answer.wait()
        return 200

    application.answer = lambda kind, body: wait()
    first = asyncio.create_task(webhooks.receive(UpdateMessage("a", "x" * 70)))
    await application.until(lambda: application.under_way)
    await refusal(webhooks)
    may_answer.set()
    await first
    await webhooks.receive(UpdateMessage("a", "x" * 70))


async def test_a_sender_that_goes_leaves_the_way_free(
    application: Application, webhooks: Webhooks
) -> None:
    never: Awaitable[int] = asyncio.get_running_loop().create_future()
    application.answer = lambda kind, body: never if "first" in body else 200
    first = asyncio.create_task(webhooks.receive(UpdateMessage("a", "first")))
    second = asyncio.create_task(webhooks.receive(UpdateMessage("a", "second")))
    third = asyncio.create_task(webhooks.receive(UpdateMessage("a", "third")))
    await application.until(lambda: application.under_way)
    second.cancel()
    first.cancel()
    await third
    assert [one["data"] for one in application.messages] == ["third"]
    assert first.cancelled()
    assert second.cancelled()


# --- the end -----------------------------------------------------------------------------------


async def test_the_end_waits_for_what_waits(
    application: Application, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "NOTICES_DRAIN_S", 30.0)
    clients = [str(number) for number in range(50)]
    come(webhooks, *clients)
    go(webhooks, *clients)
    await webhooks.aclose()
    assert len(application.notices) == 100


async def test_the_end_goes_on_for_as_long_as_the_application_takes_them(
    application: Application, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "NOTICES_AT_A_TIME", 1)
    monkeypatch.setattr(limits, "NOTICES_DRAIN_S", 1.0)

    async def slowly() -> int:
        await asyncio.sleep(0.3)
        return 200

    application.answer = lambda kind, body: slowly()
    come(webhooks, *"abcdefgh")
    await webhooks.aclose()
    assert len(application.notices) == 8


async def test_the_end_does_not_wait_for_a_long_wait_to_be_over(
    application: Application, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "NOTICES_DRAIN_S", 30.0)
    monkeypatch.setattr(limits, "NOTICE_WAIT_FIRST_S", 3600.0)
    monkeypatch.setattr(limits, "NOTICE_WAIT_MAX_S", 3600.0)
    application.answer = lambda kind, body: 500
    come(webhooks, *"abcdef")
    await application.until(lambda: len(application.posts) == 6)
    application.answer = lambda kind, body: 200
    await webhooks.aclose()
    assert sorted(application.notices) == [(CAME, client) for client in "abcdef"]


async def test_the_end_is_bounded_and_says_what_is_lost(
    application: Application, webhooks: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    never: Awaitable[int] = asyncio.get_running_loop().create_future()
    application.answer = lambda kind, body: never
    come(webhooks, "a", "b", "c")
    message = asyncio.create_task(webhooks.receive(UpdateMessage("d", "x")))
    await application.until(lambda: application.under_way >= 4)
    await webhooks.aclose()
    assert "3 presence notices are lost" in caplog.text
    with pytest.raises(RequestError, match="before the server ended"):
        await message
    await refusal(webhooks)
