"""headrace.snapshot: what clients are told after a planned restart is what they would have been."""

import msgspec
import pytest
from tests.unit.fakes import UNIX_S, HubBench

from headrace import limits
from headrace.backplane.local import LocalBackplane
from headrace.entries import Entry, Join, Leave, Revoke
from headrace.errors import RequestError, RevokedTokenError
from headrace.position import Position
from headrace.snapshot import Snapshot, restore, take
from headrace.tokens import Claims


def restarted(before: HubBench, *, down_s: float = 1.0) -> HubBench:
    """A bench that goes on from what `before` has written to its file."""
    written = msgspec.msgpack.encode(take(before.hub))
    settings = before.hub.settings
    after = HubBench(
        history_max_age_s=settings.history_max_age_s,
        history_max_bytes=settings.history_max_bytes,
    )
    after.clock.advance(before.clock.unix_s - UNIX_S + down_s)
    restore(after.hub, msgspec.msgpack.decode(written, type=Snapshot), return_s=10)
    after.hub.backplane = LocalBackplane(after.hub)
    return after


def resumed(bench: HubBench, client_id: str, last_id: Position) -> tuple[object, list[str]]:
    _, sink = bench.attach(client_id, last_id=last_id, groups=("lobby",))
    bench.tick()
    return sink.opened["recovered"], sink.data


def test_messages_and_their_places_survive() -> None:
    before = HubBench()
    last = before.send("alice", data="0").id
    before.publish(Entry(data="1", group="lobby"))
    before.publish(Entry(data="2", everyone=True))
    before.send("bob", data="not hers")
    after = restarted(before)
    after.send("alice", data="3")
    assert resumed(after, "alice", last) == (True, ["1", "2", "3"])
    _, sink = after.attach("alice", last_id=last, groups=("lobby",))
    after.tick()
    assert [message.group for message in sink.messages] == ["lobby", None, None]


def test_ids_rise_over_a_restart_whatever_the_clock_says() -> None:
    before = HubBench()
    last = before.send("alice", data="0").id
    assert restarted(before, down_s=-60).send("alice", data="1").id > last


def test_what_was_lost_is_known_after_it() -> None:
    before = HubBench(history_max_age_s=120)
    start = before.hub.history.latest
    before.send("alice", data="lost")
    before.clock.advance(121)
    before.hub.expire()
    before.send("bob", data="kept")
    after = restarted(before)
    assert resumed(after, "alice", start) == (False, [])
    assert resumed(after, "bob", start) == (True, ["kept"])
    assert resumed(after, "carol", start) == (True, [])
    assert resumed(after, "carol", Position(start.ms - 1, 0)) == (False, [])


def test_what_was_lost_to_a_key_s_own_bound_is_known_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "HISTORY_KEY_MAX_MESSAGES", 2)
    before = HubBench()
    start = before.hub.history.latest
    for data in "123":
        before.send("alice", data=data)
    after = restarted(before)
    assert resumed(after, "alice", start) == (False, ["2", "3"])
    assert resumed(after, "bob", start) == (True, [])


def test_what_had_to_be_forgotten_is_told_honestly_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "HISTORY_FLOORS_MAX_KEYS", 1)
    before = HubBench(history_max_age_s=120)
    start = before.hub.history.latest
    lost = [before.send(name, data="x").id for name in ("alice", "bob")]
    before.clock.advance(121)
    before.hub.expire()
    after = restarted(before)
    assert resumed(after, "carol", start) == (False, [])
    assert resumed(after, "carol", lost[0]) == (True, [])
    assert resumed(after, "bob", lost[0]) == (False, [])


def test_where_a_client_left_off_its_groups_and_revoked_tokens_survive() -> None:
    before = HubBench()
    page, _ = before.attach("alice")
    before.hub.detach(page)
    now = before.clock.unix_s
    before.publish(Join("alice", "chess", now))
    before.publish(Leave("alice", "lobby", now))
    before.publish(Revoke("bob", now))
    before.publish(Entry(data="while away", group="chess"))
    after = restarted(before)
    session, sink = after.attach("alice", groups=("lobby",))
    after.tick()
    assert sink.data == ["while away"]
    assert session.groups == ("chess",)
    with pytest.raises(RevokedTokenError):
        after.hub.revocations.check(Claims("bob", now + 60, iat=now))


def test_who_was_present_has_time_to_come_back() -> None:
    before = HubBench(presence_grace_s=2)
    before.attach("alice")
    before.attach("bob")
    after = restarted(before)
    after.attach("alice")
    after.clock.advance(11)
    after.hub.expire()
    assert len(after.hub.presence) == 2
    after.clock.advance(1)
    after.hub.expire()
    assert list(after.hub.presence.clients()) == ["alice"]


def test_an_id_that_is_none_is_refused() -> None:
    snapshot = take(HubBench().hub)
    with pytest.raises(RequestError, match="is not an id"):
        restore(HubBench().hub, msgspec.structs.replace(snapshot, floor="-"), return_s=0)
