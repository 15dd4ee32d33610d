"""Jobs run at their moments of each interval, in the calendar's order, and again after a start."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.clock import SimulatedClock, SystemClock
from market.clock_authority import ClockAuthority
from market.jobs import ALONE, CATCH_UP_INTERVALS, Duty, Job, Moments, NextMomentTrigger, Rounds, Schedule, run_job

UNIT_S = 900
T0 = 1_463_698_800


@given(offset_s=st.integers(-4000, 4000), time_s=st.integers(T0, T0 + 10 * UNIT_S))
def test_a_trigger_names_the_first_moment_from_a_time_on_and_its_interval(offset_s: int, time_s: int) -> None:
    trigger = Moments(UNIT_S, offset_s)
    moment = trigger.moment_from(time_s)
    assert time_s <= moment < time_s + UNIT_S
    assert (moment - offset_s) % UNIT_S == 0
    assert trigger.interval_at(moment) == moment - offset_s
    assert trigger.moment_from(moment) == moment


def test_apscheduler_is_told_the_next_moment() -> None:
    now = datetime.fromtimestamp(T0, UTC)
    trigger = NextMomentTrigger(lambda after_s: after_s + 450)
    assert trigger.get_next_fire_time(None, now) == datetime.fromtimestamp(T0 + 450, UTC)


def test_rounds_that_fail_or_cannot_tell_their_moment_come_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for posting bids is short: a fault of half a minute must not last until the next moment."""
    monkeypatch.setattr("market.jobs._PATIENCE_S", 0.0)
    is_away = [True]

    def work() -> None:
        if is_away[0]:
            raise OSError("no chain")

    def next_moment(after_s: int) -> int:
        work()
        return after_s + 450

    schedule = Schedule(UNIT_S, [], Rounds("offers", work, next_moment))
    assert T0 < schedule.next_moment(T0) < T0 + 10, "it cannot be told"
    schedule._run_due(T0, Stopped(T0))
    is_away[0] = False
    assert T0 < schedule.next_moment(T0) < T0 + 10, "it has failed"
    schedule._run_due(T0, Stopped(T0 + 5))
    assert schedule.next_moment(T0 + 5) == T0 + 455


def test_jobs_that_are_due_at_once_run_by_time_and_then_in_the_given_order() -> None:
    schedule = Schedule(UNIT_S, [Job("late", 60, _nothing), Job("first", 0, _nothing), Job("second", 0, _nothing)])
    due = [(time_s, job.name, interval) for time_s, job, interval in schedule.due(T0, T0 + UNIT_S - 1)]
    assert due == [(T0, "first", T0), (T0, "second", T0), (T0 + 60, "late", T0)]
    assert schedule.next_moment(T0) == T0 + 60


def test_a_job_that_raises_is_tried_again_after_a_pause_and_stops_nobody() -> None:
    tries: list[float] = []

    def fail_twice(_: int) -> None:
        tries.append(time.monotonic())
        if len(tries) < 3:
            raise RuntimeError("passing fault")

    assert run_job(Job("flaky", 0, fail_twice), T0)
    assert len(tries) == 3
    assert tries[2] - tries[0] > 0.1


def test_what_failed_for_longer_is_done_at_a_later_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("market.jobs._PATIENCE_S", 0.0)
    is_away, done = [True], []

    def work(interval: int) -> None:
        if is_away[0]:
            raise OSError("no chain")
        done.append(interval)

    schedule = Schedule(UNIT_S, [Job("post", -100, work), Job("other", 0, _nothing)])
    clock = Stopped(T0 + 800)
    until_s = schedule._run_due(T0 + 700, clock)
    assert done == []
    is_away[0], clock.time = False, T0 + UNIT_S
    schedule._run_due(until_s, clock)
    assert done == [T0 + UNIT_S], "its own interval, once"


@dataclass
class Stopped:
    """A clock that the test moves."""

    time: int

    def now(self) -> float:
        return self.time

    def steady(self) -> float:
        return self.time

    async def sleep_until(self, at_s: float) -> None:
        raise NotImplementedError

    def wait_until(self, at_s: float) -> None:
        raise NotImplementedError


@dataclass
class Lock:
    """What decides who acts, in the test's hand."""

    held: bool = False
    listeners: list[Callable[[], None]] = field(default_factory=list)

    def is_held(self) -> bool:
        return self.held

    def on_gain(self, listener: Callable[[], None]) -> None:
        self.listeners.append(listener)

    def gain(self) -> None:
        self.held = True
        for listener in self.listeners:
            listener()


async def test_a_process_that_stands_by_does_nothing_and_takes_up_what_was_due_while_time_stands_still() -> None:
    authority = ClockAuthority(float(T0 - 1), "token")
    port = await authority.start()
    authority.expect(["worker"])
    authority.stop_at(T0 + 10)
    done: list[object] = []
    lock, stop = Lock(), threading.Event()
    duty = Duty(lock, lambda: done.append("taken up"))
    clock = SimulatedClock("127.0.0.1", port, "worker", "token")
    schedule = Schedule(UNIT_S, [Job("note", 0, done.append)])
    worker = threading.Thread(target=_run, args=(schedule, clock, stop, duty))
    worker.start()
    await asyncio.wait_for(authority.reached(T0 + 10), 20)
    assert done == [], "it has slept through its own moment"
    await asyncio.to_thread(lock.gain)
    async with asyncio.timeout(20):
        while len(done) < 1 + CATCH_UP_INTERVALS:  # noqa: ASYNC110 - a thread is waited for
            await asyncio.sleep(0.01)
    first = T0 - (CATCH_UP_INTERVALS - 1) * UNIT_S
    assert done == ["taken up", *range(first, T0 + 1, UNIT_S)]
    assert authority.now == T0 + 10
    stop.set()
    clock.leave()
    await asyncio.to_thread(worker.join, 10)
    await authority.stop()


def test_with_the_systems_clock_the_jobs_stop_when_another_process_acts() -> None:
    ran: list[int] = []
    lock, stop = Lock(held=True), threading.Event()
    schedule = Schedule(1, [Job("note", 0, ran.append)])
    worker = threading.Thread(target=schedule.run, args=(SystemClock(), stop), kwargs={"duty": Duty(lock)})
    worker.start()
    while len(ran) < CATCH_UP_INTERVALS + 2:
        time.sleep(0.05)
    lock.held = False
    time.sleep(1.2)
    count = len(ran)
    time.sleep(2.2)
    assert len(ran) == count
    lock.held = True
    while len(ran) < count + CATCH_UP_INTERVALS:
        time.sleep(0.05)
    stop.set()
    worker.join(20)
    assert not worker.is_alive()


def test_what_is_left_of_a_moment_is_not_done_by_a_process_that_acts_no_more() -> None:
    ran: list[str] = []
    lock = Lock(held=True)

    def lose(_: int) -> None:
        ran.append("first")
        lock.held = False

    schedule = Schedule(UNIT_S, [Job("first", 0, lose), Job("second", 0, lambda _: ran.append("second"))])
    schedule._run_due(T0 - 1, Stopped(T0), Duty(lock))
    assert ran == ["first"]


async def test_simulated_time_waits_until_the_jobs_that_are_due_have_run() -> None:
    authority = ClockAuthority(float(T0 - 1), "token")
    port = await authority.start()
    authority.expect(["worker"])
    authority.stop_at(T0 + 2 * UNIT_S)
    ran: list[int] = []
    stop = threading.Event()

    def note(interval: int) -> None:
        ran.append(interval)

    clock = SimulatedClock("127.0.0.1", port, "worker", "token")
    schedule = Schedule(UNIT_S, [Job("note", 0, note)])
    worker = threading.Thread(target=_run, args=(schedule, clock, stop))
    worker.start()
    await asyncio.wait_for(authority.reached(T0 + 2 * UNIT_S), 20)
    stop.set()
    clock.leave()
    await asyncio.to_thread(worker.join, 10)
    await authority.stop()
    caught_up = list(range(T0 - CATCH_UP_INTERVALS * UNIT_S, T0, UNIT_S))
    assert ran == [*caught_up, T0, T0 + UNIT_S, T0 + 2 * UNIT_S]


def test_with_the_systems_clock_jobs_and_rounds_are_called_moment_after_moment() -> None:
    """The same calendar as in simulated time, with a time unit of a second."""
    ran: list[tuple[str, int]] = []
    seen = threading.Semaphore(0)
    stop = threading.Event()

    def note(name: str, interval: int) -> None:
        ran.append((name, interval))
        seen.release()

    rounds = Rounds("rounds", lambda: note("round", 0), lambda after_s: after_s + 1)
    schedule = Schedule(1, [Job("a", 0, partial(note, "a")), Job("b", 0, partial(note, "b"))], rounds)
    worker = threading.Thread(target=schedule.run, args=(SystemClock(), stop))
    started_s = int(time.time())
    worker.start()
    while len([each for each in ran if each[1] > started_s]) < 6:
        assert seen.acquire(timeout=20)
    stop.set()
    worker.join(20)
    assert not worker.is_alive()
    present = [each for each in ran if each[0] != "round" and each[1] > started_s]
    intervals = sorted({interval for _, interval in present})
    assert intervals == list(range(intervals[0], intervals[-1] + 1)), "no interval is left out"
    assert all([name for name, at in present if at == interval] == ["a", "b"] for interval in intervals[:-1])
    assert [name for name, _ in ran].count("round") >= 2


def _run(schedule: Schedule, clock: SimulatedClock, stop: threading.Event, duty: Duty = ALONE) -> None:
    from market.clock import ClockRefused

    try:
        schedule.run(clock, stop, duty=duty)
    except ClockRefused:
        assert stop.is_set()


def _nothing(_: int) -> None:
    return
