"""hub/snapshot.py: after a planned restart clients get what they would have got without it."""

import msgspec
import pytest
from tests.helpers.fakes import UNIX_S, HubBench

from headrace.auth.tokens import Claims
from headrace.errors import InputError, RevokedTokenError
from headrace.hub import history as history_module
from headrace.hub.snapshot import SavedSend, Snapshot, restore_snapshot, take_snapshot
from headrace.messages.entries import Entry, Join, Leave, Revoke
from headrace.messages.position import Position


def restarted(before: HubBench, *, down_s: float = 1.0) -> HubBench:
    """Return a bench that continues from the snapshot of `before`, encoded and decoded."""
    written = msgspec.msgpack.encode(take_snapshot(before.core))
    settings = before.core.settings
    after = HubBench(
        history_max_age_s=settings.history_max_age_s,
        history_max_bytes=settings.history_max_bytes,
    )
    after.clock.advance(before.clock.unix_s - UNIX_S + down_s)
    restore_snapshot(after.core, msgspec.msgpack.decode(written, type=Snapshot), return_s=10)
    return after


def resumed(bench: HubBench, client_id: str, last_id: Position) -> tuple[object, list[str]]:
    _, sink = bench.attach(client_id, last_id=last_id, groups=("lobby",))
    bench.tick()
    return sink.opened["recovered"], sink.data


def test_messages_and_their_order_survive() -> None:
    before = HubBench()
    last = before.send("alice", data="0").id
    before.append(Entry(data="1", group="lobby"))
    before.append(Entry(data="2", everyone=True))
    before.send("bob", data="to bob")
    after = restarted(before)
    after.send("alice", data="3")
    assert resumed(after, "alice", last) == (True, ["1", "2", "3"])
    _, sink = after.attach("alice", last_id=last, groups=("lobby",))
    after.tick()
    assert [message.group for message in sink.messages] == ["lobby", None, None]


def test_ids_increase_across_a_restart_also_if_the_clock_is_set_back() -> None:
    before = HubBench()
    last = before.send("alice", data="0").id
    assert restarted(before, down_s=-60).send("alice", data="1").id > last


def test_losses_are_known_after_a_restart() -> None:
    before = HubBench(history_max_age_s=120)
    start = before.core.history.latest
    before.send("alice", data="lost")
    before.clock.advance(121)
    before.core.expire()
    before.send("bob", data="kept")
    after = restarted(before)
    assert resumed(after, "alice", start) == (False, [])
    assert resumed(after, "bob", start) == (True, ["kept"])
    assert resumed(after, "carol", start) == (True, [])
    assert resumed(after, "carol", Position(start.ms - 1, 0)) == (False, [])


def test_losses_to_the_bound_of_a_key_are_known_after_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_module, "KEY_MAX_MESSAGES", 2)
    before = HubBench()
    start = before.core.history.latest
    for data in "123":
        before.send("alice", data=data)
    after = restarted(before)
    assert resumed(after, "alice", start) == (False, ["2", "3"])
    assert resumed(after, "bob", start) == (True, [])


def test_losses_to_the_share_of_a_key_are_known_after_a_restart() -> None:
    before = HubBench(history_max_bytes=100_000)
    start = before.core.history.latest
    before.send("bob", data="x")
    for number in range(100):
        before.send("alice", data=str(number) + "x" * 2000)
    expected = resumed(before, "alice", start)
    assert expected[0] is False
    after = restarted(before)
    assert resumed(after, "alice", start) == expected
    assert resumed(after, "bob", start) == (True, ["x"])
    assert after.core.history.size_bytes <= 100_000


def test_dropped_floors_are_known_after_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_module, "FLOORS_MAX_KEYS", 1)
    before = HubBench(history_max_age_s=120)
    start = before.core.history.latest
    lost = [before.send(name, data="x").id for name in ("alice", "bob")]
    before.clock.advance(121)
    before.core.expire()
    after = restarted(before)
    assert resumed(after, "carol", start) == (False, [])
    assert resumed(after, "carol", lost[0]) == (True, [])
    assert resumed(after, "bob", lost[0]) == (False, [])


def test_resume_points_overrides_and_revocations_survive() -> None:
    before = HubBench()
    page, _ = before.attach("alice")
    before.core.detach(page)
    now = before.clock.unix_s
    before.append(Join("alice", "chess", now))
    before.append(Leave("alice", "lobby", now))
    before.append(Revoke("bob", now))
    revoked_at = str(before.core.history.latest)
    before.append(Entry(data="while away", group="chess"))
    after = restarted(before)
    session, sink = after.attach("alice", groups=("lobby",))
    after.tick()
    assert sink.data == ["while away"]
    assert session.groups == ("chess",)
    with pytest.raises(RevokedTokenError):
        after.core.revocations.check(Claims("bob", now + 60, iat=now))
    after.core.revocations.check(Claims("bob", now + 60, iat=now, pos=revoked_at))


def test_old_revocations_are_not_restored() -> None:
    """Otherwise a server that is restarted every day would keep them for ever."""
    before = HubBench()
    before.append(Revoke("bob", before.clock.unix_s))
    assert len(restarted(before, down_s=24 * 3600).core.revocations) == 1
    assert len(restarted(before, down_s=24 * 3600 + 300).core.revocations) == 0


def test_the_state_of_an_earlier_version_is_restored() -> None:
    """It has no ids of revocations, no floors of keys and no digests of sends."""
    before = HubBench()
    before.append(Revoke("bob", before.clock.unix_s))
    fields = msgspec.to_builtins(take_snapshot(before.core))
    del fields["key_floors"], fields["revocation_ids"]
    fields["sends"] = [("k", 60.0, "5-0", 2)]
    snapshot = msgspec.convert(fields, Snapshot)
    assert snapshot.sends == [SavedSend("k", 60.0, "5-0", 2, digest=b"")]
    after = HubBench()
    restore_snapshot(after.core, snapshot, return_s=0)
    with pytest.raises(RevokedTokenError):
        after.core.revocations.check(Claims("bob", UNIX_S + 60, iat=UNIX_S, pos="1-0"))
    after.core.revocations.check(Claims("bob", UNIX_S + 60, iat=UNIX_S, pos=snapshot.latest))


def test_clients_that_were_online_have_time_to_return() -> None:
    before = HubBench(presence_grace_s=2)
    before.attach("alice")
    before.attach("bob")
    after = restarted(before)
    after.attach("alice")
    after.clock.advance(11)
    after.core.expire()
    assert len(after.core.presence) == 2
    after.clock.advance(1)
    after.core.expire()
    assert list(after.core.presence.clients()) == ["alice"]


def test_a_malformed_id_is_refused() -> None:
    snapshot = take_snapshot(HubBench().core)
    with pytest.raises(InputError, match="is not an id"):
        restore_snapshot(HubBench().core, msgspec.structs.replace(snapshot, floor="-"), return_s=0)


def test_the_names_in_the_file_do_not_change() -> None:
    """A newer version must read the state that an older one wrote."""
    fields = [field.encode_name for field in msgspec.structs.fields(Snapshot)]
    assert fields == [
        "floor",
        "floors",
        "latest",
        "entries",
        "words",
        "revocations",
        "present",
        "left",
        "sends",
        "key_floors",
        "revocation_ids",
        "reserved_ms",
    ]
