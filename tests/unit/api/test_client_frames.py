"""api/client_frames.py: the frames of a `headrace.v1` client, and their replies."""

import inspect
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tests.helpers.fakes import MemorySink, fields_of
from tests.helpers.hosts import hub_for_host
from tests.helpers.site import mint

from headrace.api.client_frames import PENDING_SENDS_MAX_COUNT, ClientFrames, Reply
from headrace.api.hub import Hub
from headrace.hub.session import Session
from headrace.messages.message import ControlMessage


class Client:
    """A session with a sink, and the frames of its client."""

    def __init__(self, hub: Hub, **claims: Any) -> None:
        self.hub = hub
        self.sink = MemorySink()
        self.session: Session = hub.core.attach(hub.verify(mint(**claims)), self.sink)
        self.frames = ClientFrames(hub)

    def handle(self, **fields: Any) -> Reply:
        return self.frames.handle(self.session, msgspec.json.encode(fields).decode())

    async def reply(self, text: str) -> dict[str, Any]:
        reply = self.frames.handle(self.session, text)
        if inspect.iscoroutine(reply):
            reply = await reply
        assert isinstance(reply, ControlMessage)
        return fields_of(reply)


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with hub_for_host() as hub:
        yield hub


async def test_send_is_relayed_and_answered_with_its_ref(hub: Hub) -> None:
    client = Client(hub, send=["client:bob"])
    reply = await client.reply('{"type":"send","data":"hi","to":"bob","ref":"r"}')
    assert reply == {"type": "sent", "ref": "r", "id": str(hub.core.history.latest)}


async def test_errors_are_replies_with_the_ref(hub: Hub) -> None:
    client = Client(hub)
    for text, code, ref in (
        ('{"type":"send","data":"hi","ref":7}', 403, 7),
        ('{"type":"send","data":7,"ref":8}', 400, 8),
        ('{"type":"other","ref":9}', 400, 9),
        ("no JSON", 400, None),
        ("[" * 100_000, 400, None),
        ('{"type":"renew","token":"x"}', 4001, None),
    ):
        reply = await client.reply(text)
        assert (reply["type"], reply["code"], reply.get("ref")) == ("error", code, ref)


async def test_renewal_delivers_a_new_open(hub: Hub) -> None:
    client = Client(hub)
    exp = int(hub.clocks.unix()) + 100
    assert client.handle(type="renew", token=mint(exp=exp)) is None
    assert client.sink.opened["expires_at"] == client.session.claims.exp == exp
    reply = await client.reply(
        msgspec.json.encode({"type": "renew", "token": mint("bob")}).decode()
    )
    assert reply["code"] == 403


async def test_pending_sends_are_limited(hub: Hub) -> None:
    client = Client(hub)
    pending = [client.handle(type="send", data="x") for _ in range(PENDING_SENDS_MAX_COUNT)]
    assert (await client.reply('{"type":"send","data":"x","ref":1}'))["code"] == 429
    for work in pending:
        assert inspect.iscoroutine(work)
        await work
    assert (await client.reply('{"type":"send","data":"x","ref":1}'))["code"] == 403


async def test_unexpected_exception_is_logged_and_answered_with_500(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_arguments: object, **_options: object) -> None:
        raise LookupError

    monkeypatch.setattr(hub, "send_from_client", fail)
    client = Client(hub)
    assert (await client.reply('{"type":"send","data":"x","ref":1}'))["code"] == 500
    assert "handling a message over a WebSocket failed" in caplog.text
