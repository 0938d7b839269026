"""headrace.hub: where a session begins, and what it is given again."""

import json

import pytest
from tests.unit.fakes import UNIX_S, HubBench, MemorySink, claims_of, history_bytes

from headrace import limits
from headrace.entries import Entry
from headrace.errors import RequestError
from headrace.hub import Hub
from headrace.message import Form, Message, Notice
from headrace.position import START, Position, parse_position
from headrace.session import State

ROOM_FOR_TWO = history_bytes(*[(Message(START, "x"), ("@alice",))] * 2, floors=1)


def test_the_open_notice_comes_first_with_what_the_contract_says() -> None:
    bench = HubBench(ping_interval_s=25)
    sent = bench.send("alice", data="before")
    session, sink = bench.attach("alice")
    assert len(sink.delivered) == 1
    notice = sink.delivered[0]
    assert isinstance(notice, Notice)
    assert notice.encoded(Form.POLL).decode() == json.dumps(
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
    assert session.state is State.IDLE


def test_without_an_id_a_first_connection_is_live() -> None:
    bench = HubBench()
    bench.send("alice", data="before")
    _, sink = bench.attach("alice")
    bench.send("alice", data="after")
    bench.tick()
    assert sink.data == ["after"]


def test_the_first_connection_starts_at_the_token_s_pos_and_a_second_tab_is_live() -> None:
    bench = HubBench()
    pos = bench.hub.history.latest
    bench.send("alice", data="1")
    _, sink = bench.attach("alice", pos=pos)
    _, tab = bench.attach("alice", pos=pos)
    bench.send("alice", data="2")
    bench.tick()
    assert sink.data == ["1", "2"]
    assert tab.data == ["2"]
    newer_pos = bench.hub.history.latest
    bench.send("alice", data="3")
    _, newer_tab = bench.attach("alice", pos=newer_pos)  # a token of its own, minted later
    bench.tick()
    assert newer_tab.data == ["3"]


def test_a_reload_goes_on_where_the_last_session_left_off() -> None:
    bench = HubBench()
    pos = bench.hub.history.latest
    page, sink = bench.attach("alice", pos=pos)
    bench.send("alice", data="seen")
    bench.tick()
    bench.send("alice", data="queued but not flushed")
    bench.hub.detach(page)
    bench.send("alice", data="while away")
    _, reloaded = bench.attach("alice", pos=pos)
    bench.send("alice", data="live")
    bench.tick()
    assert sink.data == ["seen"]
    assert reloaded.data == ["queued but not flushed", "while away", "live"]
    assert reloaded.opened["recovered"] is None


def test_a_tab_opened_after_a_reload_does_not_start_at_the_token_s_pos_again() -> None:
    bench = HubBench()
    pos = bench.hub.history.latest
    bench.send("alice", data="1")
    page, _ = bench.attach("alice", pos=pos)
    bench.tick()
    bench.hub.detach(page)
    _, reloaded = bench.attach("alice", pos=pos)
    _, tab = bench.attach("alice", pos=pos)
    bench.tick()
    assert reloaded.data == tab.data == []


def test_a_reload_while_another_tab_is_open_is_live() -> None:
    bench = HubBench()
    bench.attach("alice")
    page, _ = bench.attach("alice")
    bench.hub.detach(page)
    bench.send("alice", data="meanwhile")
    _, reloaded = bench.attach("alice")
    bench.tick()
    assert reloaded.data == []


def test_where_a_client_left_off_is_forgotten_with_the_history() -> None:
    bench = HubBench(history_max_age_s=120)
    for name in ("alice", "bob"):
        bench.hub.detach(bench.attach(name)[0])
        bench.clock.advance(60)
    bench.hub.expire()
    assert list(bench.hub.roster._left) == ["bob"]
    bench.send("alice", data="long after")
    _, sink = bench.attach("alice")
    bench.tick()
    assert sink.data == []
    bench.clock.advance(60)
    bench.hub.expire()
    assert bench.hub.roster._left == {}


def test_a_last_id_gives_all_that_was_missed_of_channel_groups_and_everyone_in_order() -> None:
    bench = HubBench()
    session, _ = bench.attach("alice", groups=("lobby",))
    last = bench.send("alice", data="0").id
    bench.hub.detach(session)
    bench.publish(Entry(data="1", group="lobby"))
    bench.send("bob", data="not hers")
    bench.publish(Entry(data="2", everyone=True))
    bench.send("bob", "alice", data="3")
    bench.publish(Entry(data="not hers", group="other"))
    bench.publish(Entry(data="4", group="lobby"))
    _, sink = bench.attach("alice", groups=("lobby", "lobby"), last_id=last)
    bench.send("alice", data="5")
    bench.tick()
    assert sink.opened["recovered"] is True
    assert sink.opened["id"] == str(last)
    assert sink.data == ["1", "2", "3", "4", "5"]


def test_a_last_id_at_the_newest_has_missed_nothing() -> None:
    bench = HubBench()
    last = bench.send("alice", data="0").id
    _, sink = bench.attach("alice", last_id=last)
    bench.tick()
    assert sink.opened["recovered"] is True
    assert sink.data == []


def test_a_last_id_older_than_the_floor_gets_all_that_is_left_and_is_told() -> None:
    bench = HubBench(history_max_bytes=ROOM_FOR_TWO)
    last = bench.send("alice", data="0").id
    for data in "1234":
        bench.send("alice", data=data)
    _, sink = bench.attach("alice", last_id=last)
    bench.send("alice", data="5")
    bench.tick()
    assert sink.opened["recovered"] is False
    assert sink.data == ["3", "4", "5"]


def test_a_channel_that_passed_its_own_bound_gets_all_that_is_left_and_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "HISTORY_KEY_MAX_MESSAGES", 2)
    bench = HubBench()
    last = bench.send("alice", data="0").id
    for data in "1234":
        bench.send("alice", data=data)
    assert bench.hub.history.floor_of(["@bob"]) < last  # others' have not moved
    _, sink = bench.attach("alice", last_id=last)
    bench.tick()
    assert sink.opened["recovered"] is False
    assert sink.data == ["3", "4"]


def test_what_is_lost_lies_before_the_id_that_the_client_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client notes a gap from its last id to that of `open`, and counts on all that follows."""
    monkeypatch.setattr(limits, "HISTORY_KEY_MAX_MESSAGES", 2)
    bench = HubBench()
    last = bench.send("alice", data="0").id
    flood = [bench.publish(Entry(data=data, group="lobby")).id for data in "123"]
    bench.send("alice", data="4")
    _, sink = bench.attach("alice", groups=("lobby",), last_id=last)
    bench.tick()
    assert sink.opened["recovered"] is False
    assert sink.opened["id"] == str(flood[0])
    assert sink.data == ["2", "3", "4"]


def test_a_last_id_from_another_order_replays_nothing_and_the_new_id_can_be_used() -> None:
    bench = HubBench()
    bench.send("alice", data="old")
    other = Position(int(UNIX_S * 1000) + 60_000, 0)
    session, sink = bench.attach("alice", last_id=other)
    bench.tick()
    assert sink.opened["recovered"] is False
    assert sink.data == []
    new = sink.opened["id"]
    assert new == str(bench.hub.history.latest)
    bench.hub.detach(session)
    bench.send("alice", data="new")
    _, again = bench.attach("alice", last_id=Position(*map(int, new.split("-"))))
    bench.tick()
    assert again.opened["recovered"] is True
    assert again.data == ["new"]


def test_a_loss_that_nobody_saw_told_is_told_again() -> None:
    bench = HubBench(history_max_bytes=ROOM_FOR_TWO)
    pos = bench.hub.history.latest
    for _ in range(10):
        bench.send("alice", data="x")
    for _ in range(2):
        sink = MemorySink()
        session = bench.hub.attach(claims_of("alice", pos=pos), sink, since=pos)
        assert sink.opened["recovered"] is False
        bench.tick()
        bench.hub.detach(session)


def test_after_a_restart_an_old_id_is_told_honestly() -> None:
    before = HubBench()
    last = before.send("alice", data="lost with the process").id
    after = HubBench()
    after.clock.advance(1)
    hub = Hub(after.hub.settings, after.clock.clocks, after.scheduled.append)
    sink = MemorySink()
    hub.attach(claims_of("alice"), sink, last)
    assert sink.opened["recovered"] is False


def test_a_quiet_client_of_a_busy_server_has_lost_nothing() -> None:
    """Its last id is old, but `open` and a new page begin where it was known to have everything."""
    bench = HubBench(history_max_bytes=ROOM_FOR_TWO)
    session, sink = bench.attach("alice")
    opened_at = parse_position(sink.opened["id"])
    for _ in range(10):
        bench.send("bob", data="x")
    bench.hub.renew(session, claims_of("alice"))
    assert parse_position(sink.opened["id"]) > opened_at
    bench.hub.detach(session)
    reload, reloaded = bench.attach("alice")
    assert reloaded.opened["recovered"] is None
    bench.hub.detach(reload)
    bench.send("bob", data="x")
    _, resumed = bench.attach("alice", last_id=reload.position)
    assert resumed.opened["recovered"] is True


@pytest.mark.parametrize("floors_max_keys", [2, 1])
def test_a_client_that_was_away_for_long_is_told_of_its_own_losses_only(
    floors_max_keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last id is older than all that is kept; what was lost since was not for it."""
    monkeypatch.setattr(limits, "HISTORY_FLOORS_MAX_KEYS", floors_max_keys)
    bench = HubBench(history_max_age_s=120)
    last = bench.send("alice", data="seen").id
    lost = [bench.send(name, data="x").id for name in ("bob", "carol")]
    bench.clock.advance(60)
    bench.publish(Entry(data="kept", group="lobby"))
    bench.clock.advance(61)
    bench.hub.expire()
    _, quiet = bench.attach("alice", groups=("lobby",), last_id=last)
    _, bob = bench.attach("bob", groups=("lobby",), last_id=last)
    bench.tick()
    assert quiet.data == bob.data == ["kept"]
    if floors_max_keys == 2:  # alice's own floor is forgotten, and is her last id
        assert (quiet.opened["recovered"], quiet.opened["id"]) == (True, str(last))
    else:  # bob's as well: then nobody can be told what lies before it
        assert (quiet.opened["recovered"], quiet.opened["id"]) == (False, str(lost[0]))
    assert (bob.opened["recovered"], bob.opened["id"]) == (False, str(lost[0]))


def test_the_id_told_with_a_loss_is_covered() -> None:
    bench = HubBench(history_max_bytes=ROOM_FOR_TWO)
    last = bench.hub.history.latest
    for name in ("alice", "alice", "bob", "bob", "bob"):
        bench.send(name, data="x")
    _, told = bench.attach("alice", last_id=last)
    assert told.opened["recovered"] is False
    _, again = bench.attach("alice", last_id=parse_position(told.opened["id"]))
    assert again.opened["recovered"] is True


def test_attaching_while_a_flush_is_pending_gives_no_duplicate_and_no_gap() -> None:
    bench = HubBench()
    _, old = bench.attach("alice")
    bench.send("alice", data="1")
    last = bench.hub.history.floor
    _, new = bench.attach("alice", last_id=last)
    bench.send("alice", data="2")
    bench.tick()
    assert old.data == new.data == ["1", "2"]


def test_a_replay_may_be_larger_than_the_ring() -> None:
    bench = HubBench(ring_max_messages=4)
    last = bench.hub.history.latest
    for number in range(100):
        bench.send("alice", data=str(number))
    session, sink = bench.attach("alice", last_id=last)
    assert session.backlog == 100
    for number in range(100, 104):
        bench.send("alice", data=str(number))
    bench.tick()
    assert sink.data == [str(number) for number in range(104)]
    assert bench.hub.counters.slow_closed == 0


@pytest.mark.parametrize("pos", ["00-1", "1-18446744073709551616"])
def test_a_pos_that_is_no_id_is_refused_and_leaves_nothing_behind(pos: str) -> None:
    bench = HubBench()
    claims = claims_of("alice")
    with pytest.raises(RequestError, match="is not an id"):
        bench.hub.attach(type(claims)("alice", claims.exp, pos=pos), MemorySink())
    assert bench.hub.roster.channels == {}
    assert bench.hub.sessions == {}


def test_a_lost_session_gets_nothing_more_and_counts_for_nobody() -> None:
    bench = HubBench(ring_max_messages=8)
    session, sink = bench.attach("alice")
    bench.send("alice", data="1")
    bench.tick()
    bench.hub.lose(session)
    for number in range(20):
        assert bench.send("alice", data=f"missed {number}").sessions == 0
    bench.tick()
    assert sink.data == ["1"]
    assert bench.hub.counters.slow_closed == 0
    assert sink.closes == []
    bench.hub.detach(session)
    assert bench.hub.roster.channels == {}


@pytest.mark.parametrize("detached", [True, False])
def test_the_next_session_begins_where_a_lost_one_left_off(detached: bool) -> None:
    bench = HubBench()
    session, _ = bench.attach("alice")
    bench.send("alice", data="1")
    bench.tick()
    bench.hub.lose(session)
    bench.send("alice", data="2")
    if detached:
        bench.hub.detach(session)
    _, sink = bench.attach("alice")
    bench.tick()
    assert sink.data == ["2"]
    assert list(bench.hub.roster.channels) == ["alice"]
    bench.hub.detach(session)  # its turn, when nothing is left to do
    assert len(bench.hub.sessions) == 1


def test_a_tab_that_was_lost_earlier_says_nothing_of_where_the_client_left_off() -> None:
    bench = HubBench()
    lost, _ = bench.attach("alice")
    last, sink = bench.attach("alice")
    bench.hub.lose(lost)
    bench.send("alice", data="1")
    bench.tick()
    bench.hub.detach(last)
    bench.hub.detach(lost)  # its turn came late
    bench.send("alice", data="2")
    _, again = bench.attach("alice")
    bench.tick()
    assert (sink.data, again.data) == (["1"], ["2"])


def test_what_a_lost_session_had_still_to_be_given_comes_with_the_next() -> None:
    bench = HubBench()
    session, sink = bench.attach("alice")
    session.pause()
    bench.send("alice", data="1")
    bench.hub.lose(session)
    bench.hub.detach(session)
    _, sink = bench.attach("alice")
    bench.tick()
    assert sink.data == ["1"]


@pytest.mark.parametrize("policy", ["close", "drop-oldest"])
def test_a_lost_session_may_be_revoked_or_pushed_to_under_either_policy(policy: str) -> None:
    bench = HubBench(slow_consumer=policy)
    session, sink = bench.attach("alice")
    _, other = bench.attach("alice")
    bench.hub.lose(session)
    assert bench.send("alice", data="1").sessions == 1
    bench.tick()
    assert (sink.data, other.data) == ([], ["1"])
    assert bench.hub.counters.dropped == 0
