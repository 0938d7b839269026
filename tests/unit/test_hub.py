"""headrace.hub: what a send may be, who gets it, and how a session ends or is renewed."""

from collections import Counter
from collections.abc import Callable

import pytest
from tests.unit.fakes import UNIX_S, HubBench, ManualClock, MemorySink, claims_of, run_now

from headrace import codes
from headrace import message as message_module
from headrace.entries import Entry
from headrace.errors import RequestError, StateError
from headrace.hub import Hub
from headrace.message import ENCODERS, Encodable, Form, Message
from headrace.position import Position
from headrace.session import Session, State
from headrace.settings import Settings


def refused(bench: HubBench, entry: Entry) -> RequestError:
    with pytest.raises(RequestError) as caught:
        bench.publish(entry)
    caught.value.detail.encode()  # it can be written into the answer
    assert len(bench.hub.history) == 0
    return caught.value


# --- what a send may be ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        Entry(data="x"),
        Entry(data="x", to=("a",), group="g"),
        Entry(data="x", to=("a",), everyone=True),
        Entry(data="x", group="g", everyone=True),
        Entry(data="x", to=("a",), group="g", everyone=True),
        Entry(data="x", group="", everyone=True),
    ],
)
def test_a_send_has_exactly_one_kind_of_target(entry: Entry) -> None:
    error = refused(HubBench(), entry)
    assert error.status == 400
    assert error.detail == 'a send needs exactly one target: "to", "group", or "everyone": true'


@pytest.mark.parametrize(
    ("entry", "status", "detail"),
    [
        (Entry(data="x", to=("",)), 400, "client ID '' is 0 bytes of UTF-8; it must be 1 to 9"),
        (Entry(data="x", to=("a", "é" * 5)), 400, "is 10 bytes of UTF-8; it must be 1 to 9"),
        (Entry(data="x", to=("\ud800",)), 400, "half of a surrogate pair at character 0"),
        (Entry(data="x", group=""), 400, "group name '' is 0 bytes of UTF-8; it must be 1 to 256"),
        (Entry(data="x", group="g" * 257), 400, "is 257 bytes of UTF-8; it must be 1 to 256"),
        (Entry(data="x", group="a\udfff"), 400, "half of a surrogate pair at character 1"),
        (Entry(data="a\ud83d", everyone=True), 400, "the data has half of a surrogate pair"),
        (
            Entry(data="x" * 21, everyone=True),
            413,
            "the data is 21 bytes of UTF-8; a message holds at most 20",
        ),
        (Entry(data="é" * 11, group="g"), 413, "the data is 22 bytes of UTF-8"),
    ],
)
def test_a_send_beyond_a_limit_says_its_value_and_the_limit(
    entry: Entry, status: int, detail: str
) -> None:
    error = refused(HubBench(message_max_bytes=20, client_id_max_bytes=9), entry)
    assert error.status == status
    assert detail in error.detail


def test_the_limits_are_inclusive_and_data_may_be_empty() -> None:
    bench = HubBench(message_max_bytes=20, client_id_max_bytes=9)
    _, sink = bench.attach("a" * 9)
    for data in ("é" * 10, ""):
        bench.send("a" * 9, data=data)
    bench.tick()
    assert sink.data == ["é" * 10, ""]


def test_a_hub_without_a_backplane_says_so() -> None:
    hub = Hub(Settings(), ManualClock().clocks, print)
    with pytest.raises(StateError, match="needs its backplane"):
        run_now(hub.publish(Entry(data="x", everyone=True)))


# --- who gets it -----------------------------------------------------------------------------


def test_each_kind_of_target_reaches_those_it_names_and_nobody_else() -> None:
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
        assert bench.publish(entry).sessions == sessions
    bench.tick()
    assert {name: sink.data for name, sink in sinks.items()} == {
        "alice": ["to tabs", "repeated", "to group", "to all"],
        "alice 2": ["to tabs", "repeated", "to all"],
        "bob": ["to some", "repeated", "to group", "to all"],
        "carol": ["to one", "to some", "to all"],
    }
    assert [m.group for m in sinks["bob"].messages] == [None, None, "lobby", None]
    assert (bench.hub.counters.messages, bench.hub.counters.deliveries) == (6, 14)


def test_names_of_client_and_group_and_everyone_do_not_mix() -> None:
    bench = HubBench()
    _, sink = bench.attach("lobby")
    assert bench.publish(Entry(data="x", group="lobby")).sessions == 0
    assert bench.send("*", data="x").sessions == 0
    bench.tick()
    assert sink.data == []


def test_nobody_connected_is_no_error_and_the_message_waits() -> None:
    bench = HubBench()
    created_at = bench.hub.history.latest  # what create_channel puts into the token
    receipt = bench.send("alice", data="early")
    assert receipt.sessions == 0
    _, sink = bench.attach("alice", pos=created_at)
    bench.tick()
    assert sink.data == ["early"]
    assert sink.opened["recovered"] is None
    assert sink.messages[0].position == receipt.id


def test_ids_rise_strictly_while_the_clock_steps_back() -> None:
    bench = HubBench()
    _, sink = bench.attach("alice")
    receipts: list[Position] = []
    for seconds in (0, 0, 5, -3600, 0, 1):
        bench.clock.unix_s += seconds
        receipts.append(bench.send("alice", data=str(len(receipts))).id)
    bench.tick()
    assert receipts == sorted(set(receipts))
    assert sink.data == list("012345")
    assert receipts[0] == Position(int(UNIX_S * 1000), 1)  # after the id at which the hub began


def test_one_flush_is_asked_for_in_a_tick_however_much_is_sent() -> None:
    bench = HubBench()
    sinks = [bench.attach(name)[1] for name in "abc"]
    for number in range(10):
        bench.publish(Entry(data=str(number), everyone=True))
    assert len(bench.scheduled) == 1
    assert all(not sink.messages for sink in sinks)
    bench.tick()
    assert all(sink.data == list("0123456789") for sink in sinks)
    assert bench.scheduled == []
    bench.send("nobody", data="x")
    assert bench.scheduled == []


def test_one_encoding_and_one_run_serve_every_session(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[Form] = Counter()

    def counting(form: Form) -> Callable[[Message], bytes]:
        encoder = ENCODERS[form]

        def encode(message: Message) -> bytes:
            calls[form] += 1
            return encoder(message)

        return encode

    monkeypatch.setattr(message_module, "ENCODERS", [counting(form) for form in Form])
    bench = HubBench()
    written: dict[Form, list[bytes]] = {Form.V1: [], Form.SSE: []}

    def writer(form: Form) -> Callable[[Encodable], None]:
        return lambda what: written[form].append(what.encoded(form))

    for number in range(20):
        form = Form.V1 if number % 2 else Form.SSE
        bench.attach(f"client {number}", sink=MemorySink(on_deliver=writer(form)))
    for writes in written.values():
        writes.clear()  # the open notices
    bench.publish(Entry(data="alone", everyone=True))
    bench.tick()
    for number in range(3):
        bench.publish(Entry(data=str(number), everyone=True))
    bench.tick()
    assert calls == {Form.V1: 4, Form.SSE: 4}
    for writes in written.values():
        assert len(writes) == 20
        assert len(set(map(id, writes))) == 2


# --- ending ----------------------------------------------------------------------------------


def test_the_oldest_session_over_the_limit_is_replaced() -> None:
    bench = HubBench(sessions_per_client=2)
    sinks = [bench.attach("alice")[1] for _ in range(4)]
    assert [sink.close_codes for sink in sinks] == [[4009], [4009], [], []]
    assert len(bench.hub.roster.channels["alice"].sessions) == len(bench.hub.sessions) == 2
    assert bench.send("alice", data="x").sessions == 2


def test_detaching_forgets_everything_and_twice_does_nothing() -> None:
    bench = HubBench()
    session, sink = bench.attach("alice", groups=("lobby", "lobby", "odd"))
    assert set(bench.hub.roster.groups) == {"lobby", "odd"}
    for _ in range(2):
        bench.hub.detach(session)
        assert (bench.hub.sessions, bench.hub.roster.channels, bench.hub.roster.groups) == (
            {},
            {},
            {},
        )
    assert sink.closes == []
    assert session.state is State.CLOSED


def test_a_session_is_closed_once() -> None:
    bench = HubBench()
    session, sink = bench.attach("alice")
    bench.hub.close(session, codes.REVOKED_TOKEN)
    bench.hub.close(session, codes.RESTART)
    bench.hub.detach(session)
    assert sink.closes == [(4003, "token revoked")]


def test_a_session_that_is_gone_gets_nothing_of_the_pending_flush() -> None:
    bench = HubBench()
    session, sink = bench.attach("alice")
    bench.send("alice", data="x")
    bench.hub.detach(session)
    bench.tick()
    assert sink.data == []
    assert bench.hub.counters.deliveries == 0


# --- renewal ---------------------------------------------------------------------------------


def test_a_renewal_changes_groups_and_expiry_and_answers_with_open() -> None:
    bench = HubBench()
    session, sink = bench.attach("alice", groups=("a", "b"))
    sent = bench.send("alice", data="1").id
    bench.tick()
    claims = claims_of("alice", groups=("b", "c"))
    bench.hub.renew(session, type(claims)("alice", UNIX_S + 9999, groups=claims.groups))
    assert (sink.opened["expires_at"], sink.opened["id"]) == (UNIX_S + 9999, str(sent))
    assert sink.opened["recovered"] is None
    for group in ("a", "b", "c"):
        bench.publish(Entry(data=group, group=group))
    bench.tick()
    assert sink.data == ["1", "b", "c"]
    assert set(bench.hub.roster.groups) == {"b", "c"}


def test_a_renewal_by_another_client_s_token_changes_nothing() -> None:
    bench = HubBench()
    session, sink = bench.attach("alice", groups=("a",))
    with pytest.raises(RequestError, match="another client's") as caught:
        bench.hub.renew(session, claims_of("bob", groups=("b",)))
    assert caught.value.status == 403
    assert (session.client_id, set(bench.hub.roster.groups)) == ("alice", {"a"})
    assert len(sink.notices) == 1


@pytest.mark.parametrize("end", [Hub.lose, Hub.detach])
def test_a_session_that_is_gone_cannot_be_renewed(end: Callable[[Hub, Session], None]) -> None:
    bench = HubBench()
    session, _ = bench.attach("alice")
    end(bench.hub, session)
    with pytest.raises(StateError, match="detached; attach a new one"):
        bench.hub.renew(session, claims_of("alice", groups=("a",)))
    assert bench.hub.roster.groups == {}
