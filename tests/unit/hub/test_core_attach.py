"""hub/core.py: where a session starts, and which missed messages it gets."""

import json

import pytest
from tests.helpers.fakes import UNIX_S, HubBench, MemorySink, claims_of, history_bytes

from headrace.errors import InputError
from headrace.hub import history as history_module
from headrace.hub.core import HubCore
from headrace.hub.session import SessionState
from headrace.messages.entries import Entry
from headrace.messages.message import ControlMessage, Encoding, Message
from headrace.messages.position import START, Position, parse_position

ROOM_FOR_TWO = history_bytes(*[(Message(START, "x"), ("@alice",))] * 2, floors=1)


def test_open_is_delivered_first_with_the_fields_of_the_contract() -> None:
    bench = HubBench(ping_interval_s=25)
    sent = bench.send("alice", data="before")
    session, sink = bench.attach("alice")
    assert len(sink.delivered) == 1
    control = sink.delivered[0]
    assert isinstance(control, ControlMessage)
    assert control.encode(Encoding.POLL).decode() == json.dumps(
        {
            "type": "open",
            "client_id": "alice",
            "id": str(sent.id),
            "recovered": None,
            "expires_at": UNIX_S + 7200,
            "ping_interval": 25,
        },
        separators=(",", ":"),
    )
    assert session.position == sent.id
    assert session.state is SessionState.IDLE


def test_a_first_connection_without_an_id_is_live() -> None:
    bench = HubBench()
    bench.send("alice", data="before")
    _, sink = bench.attach("alice")
    bench.send("alice", data="after")
    bench.tick()
    assert sink.data == ["after"]


def test_the_first_connection_starts_at_the_token_s_pos_and_a_second_tab_is_live() -> None:
    bench = HubBench()
    pos = bench.core.history.latest
    bench.send("alice", data="1")
    _, sink = bench.attach("alice", pos=pos)
    _, tab = bench.attach("alice", pos=pos)
    bench.send("alice", data="2")
    bench.tick()
    assert sink.data == ["1", "2"]
    assert tab.data == ["2"]
    newer_pos = bench.core.history.latest
    bench.send("alice", data="3")
    _, newer_tab = bench.attach("alice", pos=newer_pos)  # its token was minted later
    bench.tick()
    assert newer_tab.data == ["3"]


def test_a_reload_starts_where_the_last_session_left_off() -> None:
    bench = HubBench()
    pos = bench.core.history.latest
    page, sink = bench.attach("alice", pos=pos)
    bench.send("alice", data="seen")
    bench.tick()
    bench.send("alice", data="queued but not flushed")
    bench.core.detach(page)
    bench.send("alice", data="while away")
    _, reloaded = bench.attach("alice", pos=pos)
    bench.send("alice", data="live")
    bench.tick()
    assert sink.data == ["seen"]
    assert reloaded.data == ["queued but not flushed", "while away", "live"]
    assert reloaded.opened["recovered"] is None


def test_a_tab_opened_after_a_reload_does_not_start_at_the_token_s_pos_again() -> None:
    bench = HubBench()
    pos = bench.core.history.latest
    bench.send("alice", data="1")
    page, _ = bench.attach("alice", pos=pos)
    bench.tick()
    bench.core.detach(page)
    _, reloaded = bench.attach("alice", pos=pos)
    _, tab = bench.attach("alice", pos=pos)
    bench.tick()
    assert reloaded.data == tab.data == []


def test_a_reload_while_another_tab_is_open_is_live() -> None:
    bench = HubBench()
    bench.attach("alice")
    page, _ = bench.attach("alice")
    bench.core.detach(page)
    bench.send("alice", data="meanwhile")
    _, reloaded = bench.attach("alice")
    bench.tick()
    assert reloaded.data == []


def test_resume_points_expire_with_the_history() -> None:
    bench = HubBench(history_max_age_s=120)
    for name in ("alice", "bob"):
        bench.core.detach(bench.attach(name)[0])
        bench.clock.advance(60)
    bench.core.expire()
    assert [name for name, _ in bench.core.subscriptions.resume_points()] == ["bob"]
    bench.send("alice", data="long after")
    _, sink = bench.attach("alice")
    bench.tick()
    assert sink.data == []
    bench.clock.advance(60)
    bench.core.expire()
    assert list(bench.core.subscriptions.resume_points()) == []


def test_a_last_id_replays_the_missed_messages_of_channel_groups_and_everyone_in_order() -> None:
    bench = HubBench()
    session, _ = bench.attach("alice", groups=("lobby",))
    last = bench.send("alice", data="0").id
    bench.core.detach(session)
    bench.append(Entry(data="1", group="lobby"))
    bench.send("bob", data="for others")
    bench.append(Entry(data="2", everyone=True))
    bench.send("bob", "alice", data="3")
    bench.append(Entry(data="for others", group="other"))
    bench.append(Entry(data="4", group="lobby"))
    _, sink = bench.attach("alice", groups=("lobby", "lobby"), last_id=last)
    bench.send("alice", data="5")
    bench.tick()
    assert sink.opened["recovered"] is True
    assert sink.opened["id"] == str(last)
    assert sink.data == ["1", "2", "3", "4", "5"]


def test_the_newest_id_as_last_id_replays_nothing() -> None:
    bench = HubBench()
    last = bench.send("alice", data="0").id
    _, sink = bench.attach("alice", last_id=last)
    bench.tick()
    assert sink.opened["recovered"] is True
    assert sink.data == []


def test_a_last_id_before_the_floor_replays_what_is_left_with_recovered_false() -> None:
    bench = HubBench(history_max_bytes=ROOM_FOR_TWO)
    last = bench.send("alice", data="0").id
    for data in "1234":
        bench.send("alice", data=data)
    _, sink = bench.attach("alice", last_id=last)
    bench.send("alice", data="5")
    bench.tick()
    assert sink.opened["recovered"] is False
    assert sink.data == ["3", "4", "5"]


def test_a_channel_over_its_own_bound_replays_what_is_left_with_recovered_false(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_module, "KEY_MAX_MESSAGES", 2)
    bench = HubBench()
    last = bench.send("alice", data="0").id
    for data in "1234":
        bench.send("alice", data=data)
    assert bench.core.history.floor_of(["@bob"]) < last  # the floors of other clients did not move
    _, sink = bench.attach("alice", last_id=last)
    bench.tick()
    assert sink.opened["recovered"] is False
    assert sink.data == ["3", "4"]


def test_a_loss_lies_before_the_id_in_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client records a gap from its last id to the id in `open`, and nothing after it is lost."""
    monkeypatch.setattr(history_module, "KEY_MAX_MESSAGES", 2)
    bench = HubBench()
    last = bench.send("alice", data="0").id
    flood = [bench.append(Entry(data=data, group="lobby")).id for data in "123"]
    bench.send("alice", data="4")
    _, sink = bench.attach("alice", groups=("lobby",), last_id=last)
    bench.tick()
    assert sink.opened["recovered"] is False
    assert sink.opened["id"] == str(flood[0])
    assert sink.data == ["2", "3", "4"]


def test_a_last_id_from_another_order_replays_nothing_and_the_new_id_is_usable() -> None:
    bench = HubBench()
    bench.send("alice", data="old")
    other = Position(int(UNIX_S * 1000) + 60_000, 0)
    session, sink = bench.attach("alice", last_id=other)
    bench.tick()
    assert sink.opened["recovered"] is False
    assert sink.data == []
    new = sink.opened["id"]
    assert new == str(bench.core.history.latest)
    bench.core.detach(session)
    bench.send("alice", data="new")
    _, again = bench.attach("alice", last_id=Position(*map(int, new.split("-"))))
    bench.tick()
    assert again.opened["recovered"] is True
    assert again.data == ["new"]


def test_a_loss_is_reported_again_if_the_first_report_was_not_received() -> None:
    bench = HubBench(history_max_bytes=ROOM_FOR_TWO)
    pos = bench.core.history.latest
    for _ in range(10):
        bench.send("alice", data="x")
    for _ in range(2):
        sink = MemorySink()
        session = bench.core.attach(claims_of("alice", pos=pos), sink, since=pos)
        assert sink.opened["recovered"] is False
        bench.tick()
        bench.core.detach(session)


def test_an_id_from_before_a_crash_gets_recovered_false() -> None:
    before = HubBench()
    last = before.send("alice", data="lost with the process").id
    after = HubBench()
    after.clock.advance(1)
    core = HubCore(
        after.core.settings,
        after.clock.clocks,
        after.scheduled.append,
        after.presence_changes.append,
    )
    sink = MemorySink()
    core.attach(claims_of("alice"), sink, last)
    assert sink.opened["recovered"] is False


def test_a_quiet_client_of_a_busy_server_loses_nothing() -> None:
    """Its last message is old, but `open` and the resume point have the newest id."""
    bench = HubBench(history_max_bytes=ROOM_FOR_TWO)
    session, sink = bench.attach("alice")
    opened_at = parse_position(sink.opened["id"])
    for _ in range(10):
        bench.send("bob", data="x")
    bench.core.renew(session, claims_of("alice"))
    assert parse_position(sink.opened["id"]) > opened_at
    bench.core.detach(session)
    reload, reloaded = bench.attach("alice")
    assert reloaded.opened["recovered"] is None
    bench.core.detach(reload)
    bench.send("bob", data="x")
    _, resumed = bench.attach("alice", last_id=reload.position)
    assert resumed.opened["recovered"] is True


@pytest.mark.parametrize("floors_max_keys", [2, 1])
def test_only_the_client_s_own_losses_are_reported_after_a_long_absence(
    floors_max_keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last id is older than the history, but the evicted messages had other recipients."""
    monkeypatch.setattr(history_module, "FLOORS_MAX_KEYS", floors_max_keys)
    bench = HubBench(history_max_age_s=120)
    last = bench.send("alice", data="seen").id
    lost = [bench.send(name, data="x").id for name in ("bob", "carol")]
    bench.clock.advance(60)
    bench.append(Entry(data="kept", group="lobby"))
    bench.clock.advance(61)
    bench.core.expire()
    _, quiet = bench.attach("alice", groups=("lobby",), last_id=last)
    _, bob = bench.attach("bob", groups=("lobby",), last_id=last)
    bench.tick()
    assert quiet.data == bob.data == ["kept"]
    if floors_max_keys == 2:  # Alice's own floor is not kept any more; it is her last id
        assert (quiet.opened["recovered"], quiet.opened["id"]) == (True, str(last))
    else:  # Bob's is not kept either, so every last id before it gets a loss
        assert (quiet.opened["recovered"], quiet.opened["id"]) == (False, str(lost[0]))
    assert (bob.opened["recovered"], bob.opened["id"]) == (False, str(lost[0]))


def test_the_id_in_an_open_with_a_loss_is_covered() -> None:
    bench = HubBench(history_max_bytes=ROOM_FOR_TWO)
    last = bench.core.history.latest
    for name in ("alice", "alice", "bob", "bob", "bob"):
        bench.send(name, data="x")
    _, first = bench.attach("alice", last_id=last)
    assert first.opened["recovered"] is False
    _, again = bench.attach("alice", last_id=parse_position(first.opened["id"]))
    assert again.opened["recovered"] is True


def test_attaching_while_a_flush_is_pending_neither_repeats_nor_loses_a_message() -> None:
    bench = HubBench()
    _, old = bench.attach("alice")
    bench.send("alice", data="1")
    last = bench.core.history.floor
    _, new = bench.attach("alice", last_id=last)
    bench.send("alice", data="2")
    bench.tick()
    assert old.data == new.data == ["1", "2"]


def test_a_replay_may_be_larger_than_the_ring() -> None:
    bench = HubBench(ring_max_messages=4)
    last = bench.core.history.latest
    for number in range(100):
        bench.send("alice", data=str(number))
    session, sink = bench.attach("alice", last_id=last)
    assert session.backlog == 100
    for number in range(100, 104):
        bench.send("alice", data=str(number))
    bench.tick()
    assert sink.data == [str(number) for number in range(104)]
    assert bench.core.counters.slow_closed == 0


@pytest.mark.parametrize("pos", ["00-1", "1-18446744073709551616"])
def test_a_pos_that_is_not_an_id_is_refused_and_changes_nothing(pos: str) -> None:
    bench = HubBench()
    claims = claims_of("alice")
    with pytest.raises(InputError, match="is not an id"):
        bench.core.attach(type(claims)("alice", claims.exp, pos=pos), MemorySink())
    assert bench.core.subscriptions.channels == {}
    assert bench.core.sessions == {}


def test_a_disconnected_session_gets_nothing_and_is_not_counted() -> None:
    bench = HubBench(ring_max_messages=8)
    session, sink = bench.attach("alice")
    bench.send("alice", data="1")
    bench.tick()
    bench.core.mark_disconnected(session)
    for number in range(20):
        assert bench.send("alice", data=f"missed {number}").sessions == 0
    bench.tick()
    assert sink.data == ["1"]
    assert bench.core.counters.slow_closed == 0
    assert sink.closes == []
    bench.core.detach(session)
    assert bench.core.subscriptions.channels == {}


@pytest.mark.parametrize("detached", [True, False])
def test_the_next_session_starts_where_a_disconnected_one_left_off(detached: bool) -> None:
    bench = HubBench()
    session, _ = bench.attach("alice")
    bench.send("alice", data="1")
    bench.tick()
    bench.core.mark_disconnected(session)
    bench.send("alice", data="2")
    if detached:
        bench.core.detach(session)
    _, sink = bench.attach("alice")
    bench.tick()
    assert sink.data == ["2"]
    assert list(bench.core.subscriptions.channels) == ["alice"]
    bench.core.detach(session)  # the cleanup comes late, and has nothing to do
    assert len(bench.core.sessions) == 1


def test_an_earlier_disconnected_tab_does_not_set_the_resume_point() -> None:
    bench = HubBench()
    disconnected, _ = bench.attach("alice")
    last, sink = bench.attach("alice")
    bench.core.mark_disconnected(disconnected)
    bench.send("alice", data="1")
    bench.tick()
    bench.core.detach(last)
    bench.core.detach(disconnected)  # the cleanup comes late
    bench.send("alice", data="2")
    _, again = bench.attach("alice")
    bench.tick()
    assert (sink.data, again.data) == (["1"], ["2"])


def test_the_backlog_of_a_disconnected_session_is_replayed_to_the_next() -> None:
    bench = HubBench()
    session, sink = bench.attach("alice")
    session.pause()
    bench.send("alice", data="1")
    bench.core.mark_disconnected(session)
    bench.core.detach(session)
    _, sink = bench.attach("alice")
    bench.tick()
    assert sink.data == ["1"]


@pytest.mark.parametrize("policy", ["close", "drop-oldest"])
def test_a_push_to_a_disconnected_session_is_ignored_under_either_policy(policy: str) -> None:
    bench = HubBench(slow_consumer=policy)
    session, sink = bench.attach("alice")
    _, other = bench.attach("alice")
    bench.core.mark_disconnected(session)
    assert bench.send("alice", data="1").sessions == 1
    bench.tick()
    assert (sink.data, other.data) == ([], ["1"])
    assert bench.core.counters.dropped == 0


def test_a_sink_that_raises_at_open_leaves_nothing_behind() -> None:
    bench = HubBench(presence_grace_s=2)

    def fail(what: object) -> None:
        raise OSError("the connection was lost")

    with pytest.raises(OSError, match="the connection was lost"):
        bench.attach("alice", sink=MemorySink(fail))
    assert not bench.core.sessions
    bench.clock.advance(3)
    bench.core.expire()
    assert bench.core.presence.since("alice") is None
    _, sink = bench.attach("alice")
    bench.send("alice", data="x")
    bench.tick()
    assert sink.data == ["x"]
