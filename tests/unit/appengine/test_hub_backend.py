"""HubBackend, called from another thread while the event loop is blocked or ends."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.helpers.appengine import SECRET

from headrace import appengine
from headrace.api.hub import Hub
from headrace.appengine import channel, hub_backend
from headrace.settings import Settings


@pytest.fixture(autouse=True)
def default_backend_afterwards() -> Iterator[None]:
    yield
    appengine.use(None)


def new_hub() -> Hub:
    return Hub(Settings(secrets=(SECRET,)))


def test_a_loop_that_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_backend, "TIMEOUT_S", 0.05)
    loop = asyncio.new_event_loop()
    hub = new_hub()
    loop.run_until_complete(hub.start())
    appengine.bind(hub)
    with pytest.raises(channel.Error, match="event loop did not respond"):
        channel.create_channel("alice")
    loop.run_until_complete(asyncio.sleep(0))  # ends the call that was given up
    loop.run_until_complete(hub.close())
    loop.close()
    with pytest.raises(channel.Error, match="has been closed"):
        channel.create_channel("alice")


def test_a_loop_that_ends_during_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = new_hub()
    started = threading.Event()

    async def serve() -> None:
        ended = asyncio.Event()

        async def never(*args: Any, **kwargs: Any) -> None:
            started.set()
            ended.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(hub, "send", never)
        async with hub:
            appengine.bind(hub)
            thread.start()
            await ended.wait()

    caught: list[channel.Error] = []

    def send() -> None:
        try:
            channel.send_message("alice", "Hello")
        except channel.Error as error:
            caught.append(error)

    thread = threading.Thread(target=send)
    asyncio.run(serve())
    thread.join()
    assert started.is_set()
    assert "has been closed" in str(caught[0])
