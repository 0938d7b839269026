"""headrace.wheel, with a plain dictionary of deadlines as model."""

import math

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from headrace.wheel import UNSET, TimerWheel


class Alarm:
    """A `Timed` that notes when it struck, and can do something then."""

    def __init__(self) -> None:
        self.tick = UNSET
        self.struck: list[float] = []
        self.then: list[tuple[str, Alarm, float]] = []
        self.wheel: TimerWheel | None = None

    def on_deadline(self, now: float) -> None:
        assert self.tick == UNSET
        self.struck.append(now)
        then, self.then = self.then, []
        for what, other, delay in then:
            assert self.wheel is not None
            if what == "cancel":
                self.wheel.cancel(other)
            else:
                self.wheel.set(other, now + delay)


class WheelMachine(RuleBasedStateMachine):
    """No deadline strikes early, twice, or more than one tick late, whatever its neighbours do."""

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
        self.deadlines[alarm] = max(deadline, self.now)  # what is past already strikes next

    @rule(number=st.integers(0, 5))
    def cancel(self, number: int) -> None:
        self.wheel.cancel(self.alarm(number))
        self.deadlines.pop(self.alarm(number), None)

    @rule(number=st.integers(0, 5), other=st.integers(0, 5), delay=st.floats(-1, 5))
    def moves_another_when_it_strikes(self, number: int, other: int, delay: float) -> None:
        self.alarm(number).then.append(("set", self.alarm(other), delay))

    @rule(number=st.integers(0, 5), other=st.integers(0, 5))
    def cancels_another_when_it_strikes(self, number: int, other: int) -> None:
        self.alarm(number).then.append(("cancel", self.alarm(other), 0))

    @rule(seconds=st.floats(0, 1))
    def a_little_later(self, seconds: float) -> None:
        self.advance(self.now + seconds)

    @rule(seconds=st.floats(1, 1000))
    def after_a_long_sleep(self, seconds: float) -> None:
        self.advance(self.now + seconds)

    def advance(self, now: float) -> None:
        self.now = now
        self.wheel.advance(now)
        overdue = now - self.resolution_s - math.ulp(now) * 4
        assert all(deadline >= overdue for deadline in self.deadlines.values())

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert len(self.wheel) == len(self.deadlines)
        for alarm in self.alarms:
            assert (alarm.tick != UNSET) == (alarm in self.deadlines)
        assert all(self.wheel._buckets.values()), "an empty bucket stays behind"


class RecordingAlarm(Alarm):
    """An alarm of the machine above: checks that it was due, then acts."""

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


def test_a_deadline_strikes_once_and_not_before_its_time() -> None:
    wheel, alarm = TimerWheel(100.0), Alarm()
    wheel.set(alarm, 101.1)
    assert len(wheel) == 1
    for quarter in range(5):
        wheel.advance(100 + quarter / 4)
    assert not alarm.struck
    wheel.advance(101.25)
    wheel.advance(110.0)
    assert alarm.struck == [101.25]
    assert len(wheel) == 0


def test_a_deadline_exactly_on_a_tick_strikes_with_the_next_one() -> None:
    wheel, alarm = TimerWheel(100.0), Alarm()
    wheel.set(alarm, 101.0)
    wheel.advance(101.0)
    assert not alarm.struck  # due now is not yet past
    wheel.advance(101.25)
    assert alarm.struck == [101.25]


def test_a_deadline_in_the_past_strikes_at_the_next_tick() -> None:
    wheel, alarm = TimerWheel(100.0), Alarm()
    wheel.set(alarm, 3.0)
    wheel.advance(100.0)
    assert not alarm.struck
    wheel.advance(100.25)
    assert alarm.struck == [100.25]


def test_moving_a_deadline_leaves_one() -> None:
    wheel, alarm = TimerWheel(0.0), Alarm()
    for deadline in (5.0, 1.0, 9.0, 9.01):
        wheel.set(alarm, deadline)
    assert len(wheel) == 1
    wheel.advance(9.0)
    assert not alarm.struck
    wheel.advance(9.25)
    assert alarm.struck == [9.25]


def test_deadlines_strike_in_the_order_of_their_ticks_after_a_sleep() -> None:
    wheel = TimerWheel(0.0)
    struck: list[int] = []

    class Numbered(Alarm):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def on_deadline(self, now: float) -> None:
            struck.append(self.number)

    for number in (3, 1, 2):
        wheel.set(Numbered(number), float(number))
    wheel.advance(1e6)
    assert struck == [1, 2, 3]


def test_an_alarm_may_set_itself_again_and_strikes_once_an_advance() -> None:
    wheel, alarm = TimerWheel(0.0), Alarm()
    alarm.wheel = wheel
    alarm.then = [("set", alarm, 0.0)]
    wheel.set(alarm, 0.0)
    wheel.advance(50.0)
    assert alarm.struck == [50.0]
    wheel.advance(50.25)
    assert alarm.struck == [50.0, 50.25]


def test_a_neighbour_of_the_same_tick_can_be_cancelled() -> None:
    wheel = TimerWheel(0.0)
    alarms = [Alarm() for _ in range(10)]
    for alarm in alarms:
        alarm.wheel = wheel
        alarm.then = [("cancel", other, 0) for other in alarms]
        wheel.set(alarm, 1.0)
    wheel.advance(2.0)
    assert sum(len(alarm.struck) for alarm in alarms) == 1
    assert len(wheel) == 0


def test_one_that_raises_does_not_take_its_neighbours_along() -> None:
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
    assert all(len(alarm.struck) == 1 for alarm in [*alarms, faulty, later])
    assert len(wheel) == 0


def test_it_stops_when_that_is_enough_and_goes_on_with_the_rest() -> None:
    wheel = TimerWheel(0.0)
    alarms = [Alarm() for _ in range(6)]
    for number, alarm in enumerate(alarms):
        wheel.set(alarm, 1.0 + number // 2)  # two in each bucket
    left = iter([False, False, False, True, False, True])
    assert not wheel.advance(10.0, lambda: next(left))
    assert sum(len(alarm.struck) for alarm in alarms) == 3
    late = next(alarm for alarm in alarms if not alarm.struck)
    wheel.set(late, 20.0)
    assert not wheel.advance(10.0, lambda: next(left))
    assert wheel.advance(10.0)
    assert [len(alarm.struck) for alarm in alarms if alarm is not late] == [1] * 5
    assert not late.struck
    assert wheel.advance(21.0)
    assert late.struck == [21.0]


def test_cancelling_what_has_no_deadline_does_nothing() -> None:
    wheel, alarm = TimerWheel(0.0), Alarm()
    wheel.cancel(alarm)
    wheel.set(alarm, 1.0)
    wheel.cancel(alarm)
    wheel.cancel(alarm)
    wheel.advance(5.0)
    assert not alarm.struck


def test_a_clock_that_goes_back_strikes_nothing_twice() -> None:
    wheel, alarm = TimerWheel(100.0), Alarm()
    wheel.set(alarm, 101.0)
    wheel.advance(102.0)
    wheel.advance(90.0)
    wheel.set(alarm, 95.0)
    wheel.advance(100.0)
    wheel.advance(102.25)
    assert alarm.struck == [102.0, 102.25]
