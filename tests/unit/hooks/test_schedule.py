"""Schedule: priority, turns, replaced places."""

from headrace.hooks.client_queue import ClientQueue
from headrace.hooks.schedule import Schedule


def queues(names: str) -> list[ClientQueue]:
    return [ClientQueue(name) for name in names]


def pop_all(schedule: Schedule, now: float) -> str:
    """Pop what is due at `now`; return the client IDs."""
    popped = ""
    while schedule.next_at(now) == now:
        popped += schedule.pop(now).client_id
    return popped


def test_ready_queues_are_in_order_after_those_with_an_update_message() -> None:
    schedule = Schedule()
    a, b, c = queues("abc")
    c.call_count = 1
    for queue in (a, b, c):
        schedule.add_ready(queue)
    assert schedule.has_priority
    assert pop_all(schedule, 0.0) == "cab"
    assert schedule.next_at(0.0) is None


def test_waiting_queues_are_in_the_order_of_their_times() -> None:
    schedule = Schedule()
    for number, queue in enumerate(queues("cab")):
        schedule.add_waiting(queue, 10.0 + (number + 2) % 3)
    assert schedule.next_at(0.0) == 10.0
    assert schedule.pop(0.0).client_id == "a"  # it is not due, but no other queue is
    assert pop_all(schedule, 11.0) == "b"
    assert pop_all(schedule, 12.0) == "c"


def test_due_queues_and_ready_queues_take_turns() -> None:
    schedule = Schedule()
    for queue in queues("abc"):
        schedule.add_waiting(queue, 1.0)
    for queue in queues("xyz"):
        schedule.add_ready(queue)
    assert pop_all(schedule, 1.0) == "axbycz"


def test_a_queue_that_is_not_due_leaves_its_turn_to_those_that_are_ready() -> None:
    schedule = Schedule()
    schedule.add_waiting(ClientQueue("a"), 2.0)
    for queue in queues("xyz"):
        schedule.add_ready(queue)
    assert pop_all(schedule, 1.0) == "xyz"


def test_a_new_place_replaces_the_earlier_one() -> None:
    schedule = Schedule()
    a, b = queues("ab")
    schedule.add_ready(a)
    schedule.add_waiting(a, 5.0)
    schedule.add_waiting(b, 4.0)
    schedule.add_ready(b)
    assert pop_all(schedule, 0.0) == "b"
    assert schedule.next_at(0.0) == 5.0


def test_removed_queues() -> None:
    schedule = Schedule()
    a, b, c = queues("abc")
    b.call_count = 1
    schedule.add_ready(a)
    schedule.add_ready(b)
    schedule.add_waiting(c, 1.0)
    for queue in (a, b, c):
        schedule.remove(queue)
    assert not schedule.has_priority
    assert schedule.next_at(2.0) is None
