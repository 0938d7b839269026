"""server/server.py: construction, and every operation in every state of the life cycle."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.fakes import MemorySink, claims_of
from tests.helpers.fakes_asyncio import new_hub

from headrace import codes
from headrace.api.hub import Hub
from headrace.api.responses import Response
from headrace.api.router import Request, Route
from headrace.errors import ConfigError, StateError, UnavailableError
from headrace.hub.lifecycle import LifeState
from headrace.server import server as server_module
from headrace.server.context import NOSNIFF
from headrace.server.server import Server
from headrace.server.state_directory import StateDirectory


@pytest.fixture
async def no_leak() -> AsyncIterator[None]:
    """Let a socket that nobody has closed raise its ResourceWarning, which is an error."""
    yield
    await asyncio.sleep(0)
    gc.collect()


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record how many descriptors each call of `StateDirectory.close` closes."""
    counts: list[int] = []
    close = StateDirectory.close

    def counting(state: StateDirectory) -> None:
        counts.append(len(state._descriptors))
        close(state)

    monkeypatch.setattr(StateDirectory, "close", counting)
    return counts


def state_of(what: Server | Hub) -> LifeState:
    return what.life.state


def can_connect(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


async def page(request: Request) -> Response:
    return Response(200)


# --- construction ----------------------------------------------------------------------------


def test_a_server_is_constructed_without_an_event_loop() -> None:
    server = Server(new_hub(port=8000))
    assert state_of(server) is LifeState.NEW
    assert server.url == "http://127.0.0.1:8000"
    with pytest.raises(StateError, match="has not been started"):
        _ = server.context


def test_host_and_port_replace_those_of_the_settings() -> None:
    hub = new_hub(host="127.0.0.1", port=8000)
    assert Server(hub, host="::1", port=9000).url == "http://[::1]:9000"
    assert Server(hub, host="0.0.0.0").url == "http://localhost:8000"
    assert Server(hub, host="::").url == "http://localhost:8000"


@pytest.mark.parametrize(
    ("route", "text"),
    [
        (Route("POST", "/v1/send", page), "exists already; choose another path"),
        (Route("GET", "/page", page), "exists already"),
        (Route("GET", "/x"), "needs a handler"),
        (Route("GET", "x", page), "a path that starts with /"),
    ],
)
def test_a_route_that_cannot_be_used(route: Route, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Server(new_hub(), routes=[Route("GET", "/page", page), route])


def test_a_route_at_the_path_of_the_demo_needs_a_server_without_it() -> None:
    Server(new_hub(), routes=[Route("GET", "/", page)])
    with pytest.raises(ConfigError, match="exists already"):
        Server(new_hub(), demo=True, routes=[Route("GET", "/", page)])


# --- start -----------------------------------------------------------------------------------


async def test_start_listens_and_stop_ends_it(no_leak: None) -> None:
    async with new_hub() as hub:
        server = Server(hub)
        assert await server.__aenter__() is server
        assert state_of(server) is LifeState.SERVING
        assert server.port > 0
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert can_connect(server.port)
        assert server.context.hub is hub
        await server.__aexit__(None, None, None)
        assert state_of(server) is LifeState.CLOSED
        await asyncio.sleep(0)
        assert not can_connect(server.port)


@pytest.mark.parametrize("state", [LifeState.NEW, LifeState.CLOSED])
async def test_the_hub_must_run(state: LifeState) -> None:
    hub = new_hub()
    if state is LifeState.CLOSED:
        await hub.close()
    server = Server(hub)
    with pytest.raises(StateError, match=f"the hub is {state.value}"):
        await server.start()
    assert state_of(server) is LifeState.NEW


async def test_a_server_starts_once(no_leak: None) -> None:
    async with new_hub() as hub:
        server = Server(hub)
        await server.start()
        with pytest.raises(StateError, match="the server cannot start while it is serving"):
            await server.start()
        assert can_connect(server.port)
        await server.stop()
        with pytest.raises(StateError, match="the server cannot start while it is closed"):
            await server.start()


async def test_an_address_in_use_closes_the_server(no_leak: None, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with new_hub(state_dir=str(tmp_path)) as hub:
            server = Server(hub, port=port)
            with pytest.raises(ConfigError, match=f"cannot listen on host 127.0.0.1, port {port}"):
                await server.start()
            assert state_of(server) is LifeState.CLOSED
            await server.stop()


async def test_a_hub_may_have_two_servers(no_leak: None) -> None:
    async with new_hub() as hub, Server(hub) as first, Server(hub) as second:
        assert first.port != second.port
        assert can_connect(first.port)
        assert can_connect(second.port)


# --- stop ------------------------------------------------------------------------------------


async def test_stop_before_start_only_closes(tmp_path: Path) -> None:
    (tmp_path / "history").write_bytes(b"the state of another process")
    async with new_hub(state_dir=str(tmp_path)) as hub:
        server = Server(hub)
        await server.stop()
        assert state_of(server) is LifeState.CLOSED
        assert state_of(hub) is LifeState.SERVING
        with pytest.raises(StateError):
            await server.start()
    assert (tmp_path / "history").read_bytes() == b"the state of another process"


async def test_stop_drains_the_hub(no_leak: None) -> None:
    async with new_hub() as hub:
        async with Server(hub):
            sink = MemorySink()
            hub.core.attach(claims_of("ada"), sink)
        assert state_of(hub) is LifeState.DRAINING
        assert sink.close_codes == [codes.RESTART]
        with pytest.raises(UnavailableError):
            hub.check_accepting()


async def test_two_stops_at_once_end_together(
    no_leak: None, tmp_path: Path, closed: list[int]
) -> None:
    async with new_hub(state_dir=str(tmp_path), drain_s=0.05) as hub:
        server = Server(hub)
        await server.start()
        for _ in range(50):
            hub.core.attach(claims_of("ada"), MemorySink())
        stops = [asyncio.create_task(server.stop()) for _ in range(3)]
        await asyncio.wait(stops, return_when=asyncio.FIRST_COMPLETED)
        assert state_of(server) is LifeState.CLOSED
        await asyncio.gather(*stops)
        await server.stop()
    assert closed == [4]


async def test_a_cancelled_stop_still_closes(
    no_leak: None, tmp_path: Path, closed: list[int]
) -> None:
    async with new_hub(state_dir=str(tmp_path), drain_s=3600) as hub:
        server = Server(hub)
        await server.start()
        await hub.send("x", to="ada")
        for name in ("ada", "bob"):
            hub.core.attach(claims_of(name), MemorySink())
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        assert state_of(server) is LifeState.DRAINING
        stopping.cancel()
        await asyncio.wait([stopping])
        assert stopping.cancelled()
        assert state_of(server) is LifeState.CLOSED
        assert (tmp_path / "history").exists()
        await server.stop()
        for session in list(hub.core.sessions):
            hub.core.detach(session)
    assert closed == [4]


# --- the state directory ---------------------------------------------------------------------


async def serve_once(directory: Path, *data: str) -> int:
    """Run a server, send, and return the number of messages in the history."""
    async with new_hub(state_dir=str(directory)) as hub, Server(hub):
        for each in data:
            await hub.send(each, to="ada")
        return len(hub.core.history)


async def test_the_state_goes_to_the_next_server(no_leak: None, tmp_path: Path) -> None:
    assert await serve_once(tmp_path, "1", "2") == 2
    assert await serve_once(tmp_path) == 2
    assert await serve_once(tmp_path) == 2


async def waiting_server(hub: Hub) -> tuple[Server, "asyncio.Task[None]"]:
    """Return a server that waits for the one that holds the state directory, and its start."""
    server = Server(hub)
    starting = asyncio.create_task(server.start())
    while not server.is_waiting_for_predecessor:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.001)
    return server, starting


async def test_stop_during_the_start_cancels_it_and_overwrites_no_state(
    no_leak: None, tmp_path: Path, closed: list[int]
) -> None:
    async with new_hub(state_dir=str(tmp_path)) as first_hub, Server(first_hub):
        await first_hub.send("kept", to="ada")
        async with new_hub(state_dir=str(tmp_path)) as second_hub:
            second, starting = await waiting_server(second_hub)
            await asyncio.gather(second.stop(), second.stop())
            assert state_of(second) is LifeState.CLOSED
            await asyncio.wait([starting])
            assert starting.cancelled()
            assert closed == [4]
            assert not (tmp_path / "history").exists()
        assert not (tmp_path / "history").exists()
    assert closed == [4, 4]
    assert await serve_once(tmp_path) == 1


async def test_a_cancelled_start_closes_and_overwrites_no_state(
    no_leak: None, tmp_path: Path, closed: list[int]
) -> None:
    async with new_hub(state_dir=str(tmp_path)) as first_hub, Server(first_hub):
        await first_hub.send("kept", to="ada")
        async with new_hub(state_dir=str(tmp_path)) as second_hub:
            second, starting = await waiting_server(second_hub)
            starting.cancel()
            await asyncio.wait([starting])
            assert state_of(second) is LifeState.CLOSED
            await second.stop()
        assert not (tmp_path / "history").exists()
    assert closed == [4, 4]
    assert await serve_once(tmp_path) == 1


async def test_a_start_that_fails_after_the_take_over_writes_the_state_again(
    no_leak: None, tmp_path: Path, closed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    await serve_once(tmp_path, "kept")
    closed.clear()
    async with new_hub(state_dir=str(tmp_path)) as hub:
        server = Server(hub)
        with monkeypatch.context() as patch:

            async def fail(*args: Any, **kwargs: Any) -> None:
                raise OSError("too many open files")

            patch.setattr(hub.loop, "create_server", fail)
            with pytest.raises(OSError, match="too many open files"):
                await server.start()
        assert state_of(server) is LifeState.CLOSED
        assert (tmp_path / "history").exists()
        await server.stop()
    assert closed == [4]
    assert await serve_once(tmp_path) == 1


async def test_a_start_that_is_cancelled_while_it_begins_to_listen_leaves_no_listener(
    no_leak: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with new_hub() as hub:
        server = Server(hub)
        listeners: list[asyncio.Server] = []
        create_server = hub.loop.create_server

        async def create(*args: Any, **kwargs: Any) -> asyncio.Server:
            if len(listeners) == 1:
                hub.loop.call_soon(starting.cancel)  # takes effect where the start waits next
            listener = await create_server(*args, **kwargs)
            listeners.append(listener)
            return listener

        monkeypatch.setattr(server_module, "ACCEPTS_PER_TICK", 3)
        with monkeypatch.context() as patch:
            patch.setattr(hub.loop, "create_server", create)
            starting = asyncio.create_task(server.start())
            await asyncio.wait([starting])
        if starting.cancelled():  # on uvloop, listening does not wait, and the start has succeeded
            assert state_of(server) is LifeState.CLOSED
            assert len(listeners) == 2
        await server.stop()
        await asyncio.sleep(0)
        assert not can_connect(server.port)
        assert all(not listener.is_serving() for listener in listeners)


# --- the timer -------------------------------------------------------------------------------


async def test_deadlines_and_the_date_are_handled_by_the_timer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "TIMER_RESOLUTION_S", 0.01)

    class Timed:
        tick = -1

        def __init__(self) -> None:
            self.called = asyncio.Event()

        def on_deadline(self, now: float) -> None:
            self.called.set()

    class Raising(Timed):
        def on_deadline(self, now: float) -> None:
            super().on_deadline(now)
            raise RuntimeError("a defect")

    errors: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: errors.append(str(context["exception"]))
    )
    async with new_hub() as hub, Server(hub) as server:
        context = server.context
        server.context.headers = (("date", "long ago"), NOSNIFF)
        deadlines = [Raising(), Timed()]
        for number, timed in enumerate(deadlines):
            context.timers.set(timed, context.clocks.monotonic() + number / 4)
        for timed in deadlines:
            await timed.called.wait()
        assert errors == ["a defect"]
        assert context.headers[0] != ("date", "long ago")
