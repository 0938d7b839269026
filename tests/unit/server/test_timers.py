"""server/timers.py, with a plain dictionary of deadlines as model."""

import math

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from headrace.server.timers import UNSET, TimerWheel


class Alarm:
    """A `Timed` that records when it was called, and can act on the wheel then."""

    def __init__(self) -> None:
        self.tick = UNSET
        self.called: list[float] = []
        self.then: list[tuple[str, Alarm, float]] = []
        self.wheel: TimerWheel | None = None

    def on_deadline(self, now: float) -> None:
        assert self.tick == UNSET
        self.called.append(now)
        then, self.then = self.then, []
        for what, other, delay in then:
            assert self.wheel is not None
            if what == "cancel":
                self.wheel.cancel(other)
            else:
                self.wheel.set(other, now + delay)


class WheelMachine(RuleBasedStateMachine):
    """No deadline is called early, twice, or more than a tick late, whatever the others do."""

    @initialize(
        resolution_s=st.sampled_from([0.1, 0.25, 1.0]), start=st.floats(0, 1e6), count=st.just(6)
    )
    def begin(self, resolution_s: float, start: float, count: int) -> None:
        self.resolution_s = resolution_s
        self.now = start
        self.wheel = TimerWheel(start, resolution_s)
        self.alarms = [RecordingAlarm(self) for _ in range(count)]
        self.deadlines: dict[Alarm, float] = {}

    def alarm(self, number: int) -> "RecordingAlarm":
        return self.alarms[number % len(self.alarms)]

    @rule(number=st.integers(0, 5), delay=st.floats(-2, 20))
    def set(self, number: int, delay: float) -> None:
        self.set_deadline(self.alarm(number), self.now + delay)

    def set_deadline(self, alarm: Alarm, deadline: float) -> None:
        self.wheel.set(alarm, deadline)
        self.deadlines[alarm] = max(deadline, self.now)  # one in the past is due at once

    @rule(number=st.integers(0, 5))
    def cancel(self, number: int) -> None:
        self.wheel.cancel(self.alarm(number))
        self.deadlines.pop(self.alarm(number), None)

    @rule(number=st.integers(0, 5), other=st.integers(0, 5), delay=st.floats(-1, 5))
    def let_it_move_another(self, number: int, other: int, delay: float) -> None:
        self.alarm(number).then.append(("set", self.alarm(other), delay))

    @rule(number=st.integers(0, 5), other=st.integers(0, 5))
    def let_it_cancel_another(self, number: int, other: int) -> None:
        self.alarm(number).then.append(("cancel", self.alarm(other), 0))

    @rule(seconds=st.floats(0, 1))
    def advance_a_little(self, seconds: float) -> None:
        self.advance(self.now + seconds)

    @rule(seconds=st.floats(1, 1000))
    def advance_after_a_long_sleep(self, seconds: float) -> None:
        self.advance(self.now + seconds)

    def advance(self, now: float) -> None:
        self.now = now
        self.wheel.advance(now)
        overdue = now - self.resolution_s - math.ulp(now) * 4
        assert all(deadline >= overdue for deadline in self.deadlines.values())

    @invariant()
    def the_wheel_and_the_model_agree(self) -> None:
        assert len(self.wheel) == len(self.deadlines)
        for alarm in self.alarms:
            assert (alarm.tick != UNSET) == (alarm in self.deadlines)
        assert all(self.wheel._buckets.values()), "an empty bucket was kept"


class RecordingAlarm(Alarm):
    """An alarm of the machine above: it checks that it is due, then acts."""

    def __init__(self, machine: WheelMachine) -> None:
        super().__init__()
        self.machine = machine

    def on_deadline(self, now: float) -> None:
        assert self.tick == UNSET
        assert self.machine.deadlines.pop(self) <= now, "never early"
        then, self.then = self.then, []
        for what, other, delay in then:
            if what == "cancel":
                self.machine.wheel.cancel(other)
                self.machine.deadlines.pop(other, None)
            else:
                self.machine.set_deadline(other, now + delay)


TestWheelMachine = WheelMachine.TestCase


def test_a_deadline_is_called_once_and_not_early() -> None:
    wheel, alarm = TimerWheel(100.0), Alarm()
    wheel.set(alarm, 101.1)
    assert len(wheel) == 1
    for quarter in range(5):
        wheel.advance(100 + quarter / 4)
    assert not alarm.called
    wheel.advance(101.25)
    wheel.advance(110.0)
    assert alarm.called == [101.25]
    assert len(wheel) == 0


def test_a_deadline_exactly_on_a_tick_is_called_with_the_next() -> None:
    wheel, alarm = TimerWheel(100.0), Alarm()
    wheel.set(alarm, 101.0)
    wheel.advance(101.0)
    assert not alarm.called  # it is due, and not yet past
    wheel.advance(101.25)
    assert alarm.called == [101.25]


def test_a_deadline_in_the_past_is_called_at_the_next_tick() -> None:
    wheel, alarm = TimerWheel(100.0), Alarm()
    wheel.set(alarm, 3.0)
    wheel.advance(100.0)
    assert not alarm.called
    wheel.advance(100.25)
    assert alarm.called == [100.25]


def test_a_moved_deadline_is_one_deadline() -> None:
    wheel, alarm = TimerWheel(0.0), Alarm()
    for deadline in (5.0, 1.0, 9.0, 9.01):
        wheel.set(alarm, deadline)
    assert len(wheel) == 1
    wheel.advance(9.0)
    assert not alarm.called
    wheel.advance(9.25)
    assert alarm.called == [9.25]


def test_after_a_sleep_deadlines_are_called_in_the_order_of_their_ticks() -> None:
    wheel = TimerWheel(0.0)
    called: list[int] = []

    class Numbered(Alarm):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def on_deadline(self, now: float) -> None:
            called.append(self.number)

    for number in (3, 1, 2):
        wheel.set(Numbered(number), float(number))
    wheel.advance(1e6)
    assert called == [1, 2, 3]


def test_a_deadline_that_sets_itself_again_is_called_once_per_advance() -> None:
    wheel, alarm = TimerWheel(0.0), Alarm()
    alarm.wheel = wheel
    alarm.then = [("set", alarm, 0.0)]
    wheel.set(alarm, 0.0)
    wheel.advance(50.0)
    assert alarm.called == [50.0]
    wheel.advance(50.25)
    assert alarm.called == [50.0, 50.25]


def test_another_deadline_of_the_same_tick_can_be_cancelled() -> None:
    wheel = TimerWheel(0.0)
    alarms = [Alarm() for _ in range(10)]
    for alarm in alarms:
        alarm.wheel = wheel
        alarm.then = [("cancel", other, 0) for other in alarms]
        wheel.set(alarm, 1.0)
    wheel.advance(2.0)
    assert sum(len(alarm.called) for alarm in alarms) == 1
    assert len(wheel) == 0


def test_a_deadline_that_raises_does_not_stop_the_others() -> None:
    wheel = TimerWheel(0.0)

    class Faulty(Alarm):
        def on_deadline(self, now: float) -> None:
            super().on_deadline(now)
            raise RuntimeError("a defect")

    alarms = [Alarm() for _ in range(40)]
    faulty = Faulty()
    for alarm in [*alarms[:20], faulty, *alarms[20:]]:
        wheel.set(alarm, 1.0)
    wheel.set(later := Alarm(), 1.5)
    with pytest.raises(RuntimeError, match="a defect"):
        wheel.advance(2.0)
    wheel.advance(2.25)
    assert all(len(alarm.called) == 1 for alarm in [*alarms, faulty, later])
    assert len(wheel) == 0


def test_advance_can_be_stopped_and_continued() -> None:
    wheel = TimerWheel(0.0)
    alarms = [Alarm() for _ in range(6)]
    for number, alarm in enumerate(alarms):
        wheel.set(alarm, 1.0 + number // 2)  # two in each bucket
    left = iter([False, False, False, True, False, True])
    assert not wheel.advance(10.0, lambda: next(left))
    assert sum(len(alarm.called) for alarm in alarms) == 3
    late = next(alarm for alarm in alarms if not alarm.called)
    wheel.set(late, 20.0)
    assert not wheel.advance(10.0, lambda: next(left))
    assert wheel.advance(10.0)
    assert [len(alarm.called) for alarm in alarms if alarm is not late] == [1] * 5
    assert not late.called
    assert wheel.advance(21.0)
    assert late.called == [21.0]


def test_cancel_without_a_deadline_does_nothing() -> None:
    wheel, alarm = TimerWheel(0.0), Alarm()
    wheel.cancel(alarm)
    wheel.set(alarm, 1.0)
    wheel.cancel(alarm)
    wheel.cancel(alarm)
    wheel.advance(5.0)
    assert not alarm.called


def test_after_a_clock_goes_back_nothing_is_called_twice() -> None:
    wheel, alarm = TimerWheel(100.0), Alarm()
    wheel.set(alarm, 101.0)
    wheel.advance(102.0)
    wheel.advance(90.0)
    wheel.set(alarm, 95.0)
    wheel.advance(100.0)
    wheel.advance(102.25)
    assert alarm.called == [102.0, 102.25]
