"""hub/core.py: the recipients of a send, and how sessions end and are renewed."""

from collections import Counter
from collections.abc import Callable

import pytest
from tests.helpers.fakes import UNIX_S, HubBench, MemorySink, claims_of

from headrace import codes
from headrace.errors import ForbiddenError, StateError
from headrace.hub.core import HubCore
from headrace.hub.session import Session, SessionState
from headrace.messages import message as message_module
from headrace.messages.entries import Entry, Join, Leave, Revoke
from headrace.messages.message import Encodable, Encoding, Message, encode_message
from headrace.messages.position import Position

# --- recipients ------------------------------------------------------------------------------


def test_each_kind_of_target_reaches_exactly_the_clients_it_names() -> None:
    bench = HubBench()
    sinks = {
        "alice": bench.attach("alice", groups=("lobby", "odd"))[1],
        "alice 2": bench.attach("alice")[1],
        "bob": bench.attach("bob", groups=("lobby",))[1],
        "carol": bench.attach("carol")[1],
    }
    entries = [
        (Entry(data="to one", to=("carol",)), 1),
        (Entry(data="to tabs", to=("alice",)), 2),
        (Entry(data="to some", to=("bob", "nobody", "carol")), 2),
        (Entry(data="repeated", to=("alice", "bob", "alice")), 3),
        (Entry(data="to group", group="lobby"), 2),
        (Entry(data="to all", everyone=True), 4),
    ]
    for entry, sessions in entries:
        assert bench.append(entry).sessions == sessions
    bench.tick()
    assert {name: sink.data for name, sink in sinks.items()} == {
        "alice": ["to tabs", "repeated", "to group", "to all"],
        "alice 2": ["to tabs", "repeated", "to all"],
        "bob": ["to some", "repeated", "to group", "to all"],
        "carol": ["to one", "to some", "to all"],
    }
    assert [m.group for m in sinks["bob"].messages] == [None, None, "lobby", None]
    assert (bench.core.counters.messages, bench.core.counters.deliveries) == (6, 14)


def test_client_ids_group_names_and_everyone_are_separate_name_spaces() -> None:
    bench = HubBench()
    _, sink = bench.attach("lobby")
    assert bench.append(Entry(data="x", group="lobby")).sessions == 0
    assert bench.send("*", data="x").sessions == 0
    bench.tick()
    assert sink.data == []


def test_a_message_to_a_client_that_is_not_connected_waits_in_the_history() -> None:
    bench = HubBench()
    created_at = bench.core.history.latest  # what create_channel puts into the token
    receipt = bench.send("alice", data="early")
    assert receipt.sessions == 0
    _, sink = bench.attach("alice", pos=created_at)
    bench.tick()
    assert sink.data == ["early"]
    assert sink.opened["recovered"] is None
    assert sink.messages[0].position == receipt.id


def test_the_data_may_be_empty() -> None:
    bench = HubBench()
    _, sink = bench.attach("alice")
    bench.send("alice", data="")
    bench.tick()
    assert sink.data == [""]


def test_a_message_has_the_position_that_it_was_applied_with() -> None:
    bench = HubBench()
    _, sink = bench.attach("alice")
    positions = [Position(bench.core.history.latest.ms + 5, seq) for seq in (0, 1, 7)]
    for position in positions:
        bench.core.apply(Entry(data="x", to=("alice",)), position)
        assert bench.core.history.latest == position
    bench.tick()
    assert [message.position for message in sink.messages] == positions


def test_a_change_takes_a_position_and_is_no_message() -> None:
    bench = HubBench()
    session, sink = bench.attach("alice")
    for change in (Join("alice", "lobby", UNIX_S), Leave("alice", "lobby", UNIX_S)):
        receipt = bench.append(change)
        assert bench.core.history.latest == receipt.id
        assert receipt.sessions == 0
        assert session.groups == (("lobby",) if isinstance(change, Join) else ())
    bench.append(Revoke("alice", UNIX_S))
    assert sink.close_codes == [codes.REVOKED_TOKEN]
    assert bench.core.counters.messages == len(bench.core.history) == 0


def test_one_flush_is_scheduled_per_tick_for_any_number_of_sends() -> None:
    bench = HubBench()
    sinks = [bench.attach(name)[1] for name in "abc"]
    for number in range(10):
        bench.append(Entry(data=str(number), everyone=True))
    assert len(bench.scheduled) == 1
    assert all(not sink.messages for sink in sinks)
    bench.tick()
    assert all(sink.data == list("0123456789") for sink in sinks)
    assert bench.scheduled == []
    bench.send("nobody", data="x")
    assert bench.scheduled == []


def test_all_sessions_share_one_encoding_and_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[Encoding] = Counter()

    def counting(message: Message, encoding: Encoding) -> bytes:
        calls[encoding] += 1
        return encode_message(message, encoding)

    monkeypatch.setattr(message_module, "encode_message", counting)
    bench = HubBench()
    written: dict[Encoding, list[bytes]] = {Encoding.V1: [], Encoding.SSE: []}

    def writer(encoding: Encoding) -> Callable[[Encodable], None]:
        return lambda what: written[encoding].append(what.encode(encoding))

    for number in range(20):
        encoding = Encoding.V1 if number % 2 else Encoding.SSE
        bench.attach(f"client {number}", sink=MemorySink(on_deliver=writer(encoding)))
    for writes in written.values():
        writes.clear()  # the `open` control messages
    bench.append(Entry(data="alone", everyone=True))
    bench.tick()
    for number in range(3):
        bench.append(Entry(data=str(number), everyone=True))
    bench.tick()
    assert calls == {Encoding.V1: 4, Encoding.SSE: 4}
    for writes in written.values():
        assert len(writes) == 20
        assert len(set(map(id, writes))) == 2


# --- the end of a session --------------------------------------------------------------------


def test_the_oldest_session_over_the_limit_is_replaced() -> None:
    bench = HubBench(sessions_per_client=2)
    sinks = [bench.attach("alice")[1] for _ in range(4)]
    assert [sink.close_codes for sink in sinks] == [[4009], [4009], [], []]
    assert len(bench.core.subscriptions.channels["alice"].sessions) == len(bench.core.sessions) == 2
    assert bench.send("alice", data="x").sessions == 2


def test_detach_removes_everything_and_does_nothing_the_second_time() -> None:
    bench = HubBench()
    session, sink = bench.attach("alice", groups=("lobby", "lobby", "odd"))
    subscriptions = bench.core.subscriptions
    assert set(subscriptions.groups) == {"lobby", "odd"}
    for _ in range(2):
        bench.core.detach(session)
        assert (bench.core.sessions, subscriptions.channels, subscriptions.groups) == ({}, {}, {})
    assert sink.closes == []
    assert session.state is SessionState.CLOSED


def test_a_session_is_closed_once() -> None:
    bench = HubBench()
    session, sink = bench.attach("alice")
    bench.core.close(session, codes.REVOKED_TOKEN)
    bench.core.close(session, codes.RESTART)
    bench.core.detach(session)
    assert sink.closes == [(4003, "token revoked")]


def test_a_disconnected_session_is_not_closed() -> None:
    bench = HubBench()
    session, sink = bench.attach("alice")
    bench.core.mark_disconnected(session)
    bench.core.close(session, codes.REVOKED_TOKEN)
    assert sink.closes == []
    assert bench.core.sessions == {}


def test_a_detached_session_gets_nothing_from_the_pending_flush() -> None:
    bench = HubBench()
    session, sink = bench.attach("alice")
    bench.send("alice", data="x")
    bench.core.detach(session)
    bench.tick()
    assert sink.data == []
    assert bench.core.counters.deliveries == 0


# --- renewal ---------------------------------------------------------------------------------


def test_a_renewal_changes_groups_and_expiry_and_sends_open() -> None:
    bench = HubBench()
    session, sink = bench.attach("alice", groups=("a", "b"))
    sent = bench.send("alice", data="1").id
    bench.tick()
    claims = claims_of("alice", groups=("b", "c"))
    bench.core.renew(session, type(claims)("alice", UNIX_S + 9999, groups=claims.groups))
    assert (sink.opened["expires_at"], sink.opened["id"]) == (UNIX_S + 9999, str(sent))
    assert sink.opened["recovered"] is None
    for group in ("a", "b", "c"):
        bench.append(Entry(data=group, group=group))
    bench.tick()
    assert sink.data == ["1", "b", "c"]
    assert set(bench.core.subscriptions.groups) == {"b", "c"}


def test_a_renewal_with_another_client_s_token_is_forbidden_and_changes_nothing() -> None:
    bench = HubBench()
    session, sink = bench.attach("alice", groups=("a",))
    with pytest.raises(ForbiddenError, match="another client's"):
        bench.core.renew(session, claims_of("bob", groups=("b",)))
    assert (session.client_id, set(bench.core.subscriptions.groups)) == ("alice", {"a"})
    assert len(sink.notices) == 1


@pytest.mark.parametrize("end", [HubCore.mark_disconnected, HubCore.detach])
def test_an_ended_session_cannot_be_renewed(end: Callable[[HubCore, Session], None]) -> None:
    bench = HubBench()
    session, _ = bench.attach("alice")
    end(bench.core, session)
    with pytest.raises(StateError, match="detached; attach a new one"):
        bench.core.renew(session, claims_of("alice", groups=("a",)))
    assert bench.core.subscriptions.groups == {}


# --- expiry ----------------------------------------------------------------------------------


def test_expire_reaches_every_part_of_the_core() -> None:
    bench = HubBench(history_max_age_s=120, presence_grace_s=2)
    core = bench.core
    core.detach(bench.attach("alice")[0])
    bench.append(Join("alice", "lobby", UNIX_S))
    bench.append(Revoke("alice", UNIX_S))
    bench.send("alice", data="x")
    bench.clock.advance(3)
    core.expire()
    assert [change.connected for change in bench.presence_changes] == [True, False]
    assert (len(core.history), len(core.revocations)) == (1, 1)
    bench.clock.advance(200)
    core.expire()
    assert (len(core.history), len(core.revocations)) == (0, 1)
    assert list(core.subscriptions.resume_points()) == []
    bench.clock.advance(24 * 3600 + 300)
    core.expire()
    assert len(core.revocations) == 0
