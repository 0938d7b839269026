"""api/hub.py: construction, start, drain, close, and what is allowed in each state."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.helpers.fakes import ManualClock, MemorySink, claims_of
from tests.helpers.fakes_asyncio import FakeApplication, new_hub

from headrace import codes
from headrace.api import hub as hub_module
from headrace.api.hub import Hub
from headrace.errors import (
    ConflictError,
    InputError,
    RevokedTokenError,
    StateError,
    UnavailableError,
)
from headrace.hub.lifecycle import LifeState
from headrace.hub.presence import PresenceChange
from headrace.hub.snapshot import Snapshot
from headrace.messages.entries import Change, Join, Leave, Revoke
from headrace.messages.position import Position

CLAIMS = claims_of("ada")

OPERATIONS: dict[str, Callable[[Hub], Awaitable[Any]]] = {
    "send": lambda hub: hub.send("x", to="ada"),
    "send_from_client": lambda hub: hub.send_from_client(CLAIMS, "x"),
    "join": lambda hub: hub.join("ada", "lobby"),
    "leave": lambda hub: hub.leave("ada", "lobby"),
    "disconnect": lambda hub: hub.disconnect("ada"),
    "presence": lambda hub: hub.presence("ada"),
    "presence_of_group": lambda hub: hub.presence_of_group("lobby"),
}


async def hub_in(state: LifeState, application: FakeApplication | None = None) -> Hub:
    hub = new_hub(application or FakeApplication())
    if state is LifeState.CLOSED:
        await hub.start()
        await hub.close()
    elif state is not LifeState.NEW:
        await hub.start()
        if state is LifeState.DRAINING:
            await hub.drain()
    assert hub.life.state is state
    return hub


# --- construction ----------------------------------------------------------------------------


def test_a_hub_is_constructed_without_an_event_loop() -> None:
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    hub = new_hub(FakeApplication())
    assert hub.life.state is LifeState.NEW
    assert Hub.running == []
    with pytest.raises(StateError, match="use it within `async with`"):
        _ = hub.loop


def test_a_hub_of_module_level_can_be_run_in_a_later_event_loop() -> None:
    hub = new_hub()

    async def use() -> int:
        async with hub:
            assert hub.loop is asyncio.get_running_loop()
            return (await hub.send("x", to="ada")).sessions

    assert asyncio.run(use()) == 0
    assert hub.life.state is LifeState.CLOSED


# --- operations in each state ----------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("state", [LifeState.NEW, LifeState.CLOSED])
async def test_operations_raise_unless_the_hub_runs(state: LifeState, name: str) -> None:
    hub = await hub_in(state)
    latest = hub.core.history.latest
    with pytest.raises(StateError, match=f"the hub is {state.value}"):
        await OPERATIONS[name](hub)
    with pytest.raises(StateError, match=f"the hub is {state.value}"):
        hub.create_channel("ada")
    assert hub.core.history.latest == latest
    assert len(hub.core.revocations) == 0


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("state", [LifeState.SERVING, LifeState.DRAINING])
async def test_operations_work_until_the_hub_is_closed(state: LifeState, name: str) -> None:
    hub = await hub_in(state)
    await OPERATIONS[name](hub)
    assert hub.create_channel("ada").token
    await hub.close()


@pytest.mark.parametrize(
    "state", [LifeState.NEW, LifeState.SERVING, LifeState.DRAINING, LifeState.CLOSED]
)
async def test_new_sessions_are_accepted_while_serving_only(state: LifeState) -> None:
    hub = await hub_in(state)
    if state is LifeState.SERVING:
        hub.check_accepting()
    else:
        with pytest.raises(UnavailableError, match="shutting down; connect again"):
            hub.check_accepting()
    await hub.close()


# --- start -----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [LifeState.SERVING, LifeState.DRAINING, LifeState.CLOSED])
async def test_a_hub_starts_once(state: LifeState) -> None:
    hub = await hub_in(state)
    with pytest.raises(StateError, match=f"the hub cannot start while it is {state.value}"):
        await hub.start()
    assert hub.life.state is state
    assert Hub.running == ([] if state is LifeState.CLOSED else [hub])
    await hub.close()
    assert Hub.running == []


async def test_the_uptime_begins_with_the_start() -> None:
    clock = ManualClock()
    hub = new_hub(clocks=clock.clocks)
    clock.advance(100)
    async with hub:
        assert hub.started_at == clock.monotonic_s


# --- close -----------------------------------------------------------------------------------


async def test_close_in_the_new_state_does_nothing_else() -> None:
    application = FakeApplication()
    hub = new_hub(application)
    await hub.close()
    assert hub.life.state is LifeState.CLOSED
    assert application.closed == 0
    with pytest.raises(StateError):
        await hub.start()


async def test_a_second_close_does_nothing() -> None:
    application = FakeApplication()
    hub = await hub_in(LifeState.SERVING, application)
    called: list[str] = []
    await hub.call_when_closed(call(lambda: called.append("closed")))
    for _ in range(3):
        await hub.close()
    assert application.closed == 1
    assert called == ["closed"]


async def test_two_closes_at_once_close_once() -> None:
    application = FakeApplication()
    hub = await hub_in(LifeState.SERVING, application)
    await asyncio.gather(hub.close(), hub.close(), hub.drain())
    assert application.closed == 1
    assert Hub.running == []


async def test_close_ends_sessions_announces_departures_and_then_closes_the_application() -> None:
    application = FakeApplication()
    hub = await hub_in(LifeState.SERVING, application)
    sink = MemorySink()
    hub.core.attach(CLAIMS, sink)
    seen_by_callback: list[tuple[int, int]] = []
    await hub.call_when_closed(
        call(lambda: seen_by_callback.append((len(application.changes), application.closed)))
    )
    await hub.close()
    assert sink.notices[-1] == {"type": "reconnect", "delay_ms": 0}
    assert sink.close_codes == [codes.RESTART]
    assert application.changes == [PresenceChange("ada", True), PresenceChange("ada", False)]
    assert seen_by_callback == [(2, 1)]


async def test_with_a_state_dir_no_departures_are_announced(tmp_path: Any) -> None:
    application = FakeApplication()
    hub = new_hub(application, state_dir=str(tmp_path))
    async with hub:
        hub.core.attach(CLAIMS, MemorySink())
    assert application.changes == [PresenceChange("ada", True)]


async def test_an_application_that_fails_to_close_does_not_prevent_the_callbacks() -> None:
    class Failing(FakeApplication):
        async def aclose(self) -> None:
            raise LookupError("a defect")

    hub = await hub_in(LifeState.SERVING, Failing())
    called: list[str] = []
    await hub.call_when_closed(call(lambda: called.append("closed")))
    with pytest.raises(LookupError):
        await hub.close()
    assert called == ["closed"]
    assert (hub.life.state, Hub.running) == (LifeState.CLOSED, [])


async def test_a_callback_for_a_closed_hub_is_called_at_once() -> None:
    hub = await hub_in(LifeState.CLOSED)
    called: list[str] = []
    await hub.call_when_closed(call(lambda: called.append("closed")))
    assert called == ["closed"]


async def test_an_exception_in_the_block_still_closes_the_hub() -> None:
    application = FakeApplication()
    with pytest.raises(LookupError):
        async with new_hub(application):
            raise LookupError
    assert application.closed == 1


async def test_a_cancelled_drain_can_be_closed_later() -> None:
    hub = new_hub(drain_s=3600)
    await hub.start()
    for _ in range(3):
        hub.core.attach(CLAIMS, MemorySink())
    draining = asyncio.create_task(hub.drain())
    await asyncio.sleep(0)  # the task has begun, and waits between two closes
    draining.cancel()
    await asyncio.wait([draining])
    assert hub.life.state is LifeState.DRAINING
    assert Hub.running == [hub]
    await hub.close()
    assert hub.core.sessions == {}
    assert Hub.running == []


# --- the timer -------------------------------------------------------------------------------


async def test_old_state_expires_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "EXPIRE_INTERVAL_S", 0.01)
    announced = asyncio.Event()

    class Listening(FakeApplication):
        def presence_changed(self, change: PresenceChange) -> None:
            super().presence_changed(change)
            if not change.connected:
                announced.set()

    async with new_hub(Listening(), presence_grace_s=0) as hub:
        hub.core.detach(hub.core.attach(CLAIMS, MemorySink()))
        await announced.wait()


async def test_an_application_that_raises_does_not_stop_the_timer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "EXPIRE_INTERVAL_S", 0.01)

    class Raising(FakeApplication):
        def presence_changed(self, change: PresenceChange) -> None:
            raise RuntimeError(f"{change.client_id} is not expected")

    errors: list[str] = []
    both = asyncio.Event()

    def handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        errors.append(str(context["exception"]))
        if len(errors) == 2:
            both.set()

    asyncio.get_running_loop().set_exception_handler(handle)
    hub = new_hub(Raising())
    await hub.start()
    hub.core.presence.restore({"ada": 1.0, "bob": 2.0}, until=0.0)
    await both.wait()
    hub.application = None
    await hub.close()
    assert errors == ["ada is not expected", "bob is not expected"]


def call(function: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    """A coroutine function that calls `function`."""

    async def called() -> None:
        function()

    return called


async def record_nothing(change: Change, position: Position) -> None:
    """A journal that stores nothing."""


def restore(
    hub: Hub, snapshot: Snapshot | None, reserve: Callable[[int], None], *, return_s: float = 0
) -> None:
    hub.restore(snapshot, (), reserve=reserve, record=record_nothing, return_s=return_s)


async def test_a_hub_continues_from_recorded_changes() -> None:
    async with new_hub() as hub:
        token = hub.create_channel("ada").token
        changes: list[tuple[Change, Position]] = [
            (Join("ada", "lobby", 1.0), Position(1, 0)),
            (Leave("bob", "lobby", 1.0), Position(2, 0)),
            (Revoke("ada", hub.clocks.unix()), Position(2**63, 0)),
        ]
        hub.restore(None, changes, reserve=print, record=record_nothing, return_s=0)
        assert hub.core.subscriptions.memberships.groups_of("ada", (), None) == ("lobby",)
        assert hub.core.subscriptions.memberships.groups_of("bob", ("lobby",), 0.5) == ()
        with pytest.raises(RevokedTokenError):
            hub.verify(token)
        assert [change for change, _ in hub.core.changes()] == [each for each, _ in changes]


async def test_no_departure_is_announced_while_clients_move_to_the_next_process() -> None:
    clock = ManualClock()
    application = FakeApplication()
    hub = new_hub(application, clocks=clock.clocks, state_dir="unused", presence_grace_s=1)
    await hub.start()
    hub.core.attach(CLAIMS, MemorySink())
    await hub.drain()
    clock.advance(60)
    hub.core.expire()
    await hub.close()
    assert application.changes == [PresenceChange("ada", True)]


# --- a planned restart -----------------------------------------------------------------------


async def test_a_hub_continues_from_the_snapshot_of_another() -> None:
    before_clock, after_clock = ManualClock(), ManualClock()
    async with new_hub(clocks=before_clock.clocks) as before:
        token = before.create_channel("ada").token
        first = await before.send("kept", to="ada", idempotency_key="k")
        await before.disconnect("bob")
        await before.join("ada", "lobby")
        before.core.attach(claims_of("carol"), MemorySink())
        snapshot = before.snapshot()
    reserved: list[int] = []
    async with new_hub(clocks=after_clock.clocks) as after:
        restore(after, snapshot, reserved.append, return_s=10)
        assert await after.send("kept", to="ada", idempotency_key="k") == first
        with pytest.raises(ConflictError):
            await after.send("again", to="ada", idempotency_key="k")
        sink = MemorySink()
        after.core.attach(after.verify(token), sink)
        assert (await after.send("new", group="lobby")).sessions == 1
        after.core.flush()
        assert sink.data == ["kept", "new"]
        assert len(after.core.revocations) == 1
        assert (await after.presence("carol")).online
        assert len(reserved) == 1


async def test_restore_without_a_snapshot_only_sets_the_reservation() -> None:
    reserved: list[int] = []
    async with new_hub() as hub:
        restore(hub, None, reserved.append)
        await hub.send("x", to="ada")
    assert len(reserved) == 1


async def test_restore_refuses_a_malformed_id() -> None:
    async with new_hub() as before:
        snapshot = before.snapshot()
        snapshot.floors["@ada"] = "no id"
    async with new_hub() as after:
        with pytest.raises(InputError):
            restore(after, snapshot, lambda until_ms: None)
