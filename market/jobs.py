"""What happens at which moment of an interval, for every process that acts by the calendar.

A job is an action for one interval at one moment of it. With the system's clock APScheduler calls the jobs; with the
simulated clock of a demonstration the same triggers are stepped, and the process counts as busy until every job that
is due has returned. Jobs must be repeatable: after a start they run again for the moments of the last few intervals.

Where several processes have the same calendar, one of them has the duty to act; the others stand by, and one of them
goes on in its place as if it had just been started.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, Protocol

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from prometheus_client import Counter, Histogram
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from market.clock import Clock, SimulatedClock
from market.domain.intervals import moment_after

log = structlog.get_logger(__name__)

_RUNS = Counter("meritgrid_job_runs_total", "Jobs run", ["job"])
_FAILURES = Counter("meritgrid_job_failures_total", "Jobs that raised; they are tried again", ["job"])
_SECONDS = Histogram("meritgrid_job_seconds", "Duration of a job [s]", ["job"])

CATCH_UP_INTERVALS = 6
"""After a start, jobs run for the moments of so many market time units before now."""

_PATIENCE_S = 20.0
"""How long a failing job is tried again at once [s]; after that at every later moment, while it may be caught up."""
_LOOK_AGAIN_S = 5
_ASK_FOR_DUTY_EVERY_S = 0.2


class Leader(Protocol):
    """Says whether this process is the one that acts."""

    def is_held(self) -> bool:
        """Whether it is now."""
        ...

    def on_gain(self, listener: Callable[[], None]) -> None:
        """Have a function called, on any thread, whenever it begins to be."""
        ...


class _Alone:
    """The only process of its kind."""

    def is_held(self) -> bool:
        return True

    def on_gain(self, listener: Callable[[], None]) -> None:
        """It has always been."""


def _nothing() -> None:
    return


@dataclass(frozen=True)
class Duty:
    """Acting by a calendar, which one process does at a time.

    take_up: finishes what another process may have begun; called before the first job, and again until it succeeds.
    """

    leader: Leader
    take_up: Callable[[], None] = _nothing


ALONE: Final = Duty(_Alone())


@dataclass(frozen=True)
class Job:
    """An action for one interval.

    `offset_s` is the moment relative to the start of the interval [s]; `action` gets the interval (epoch seconds).
    Jobs that are due at the same time run in the order in which they are given.
    """

    name: str
    offset_s: int
    action: Callable[[int], object]


@dataclass(frozen=True)
class Moments:
    """The moments of a job: one in every interval, `offset_s` from its start."""

    time_unit_s: int
    offset_s: int

    def moment_from(self, time_s: int) -> int:
        """The first moment at or after a time [epoch s]."""
        return moment_after(time_s - 1, self.offset_s, self.time_unit_s)

    def interval_at(self, time_s: int) -> int:
        """The interval whose moment was the last one at or before a time [epoch s]."""
        return (time_s - self.offset_s) // self.time_unit_s * self.time_unit_s


@dataclass(frozen=True)
class Rounds:
    """Work that sees for itself what is due whenever it is called.

    `next_moment` gives the first time after another [epoch s] at which something may be due.
    """

    name: str
    run: Callable[[], None]
    next_moment: Callable[[int], int]


class NextMomentTrigger(BaseTrigger):  # type: ignore[misc]
    """APScheduler trigger that fires whenever something is due next."""

    def __init__(self, next_moment: Callable[[int], int]) -> None:
        self._next_moment = next_moment

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        after = now if previous_fire_time is None else max(now, previous_fire_time)
        return datetime.fromtimestamp(self._next_moment(int(after.timestamp())), UTC)


class Schedule:
    """What one process does at which time: jobs, and after them the rounds."""

    def __init__(self, time_unit_s: int, jobs: Sequence[Job], rounds: Rounds | None = None) -> None:
        self._time_unit_s = time_unit_s
        self._jobs = [(job, Moments(time_unit_s, job.offset_s)) for job in jobs]
        self._rounds = rounds
        self._failed: dict[tuple[str, int], Job] = {}
        self._has_failed = False

    def next_moment(self, after_s: int) -> int:
        """The next time at which anything is due, after a time [epoch s]; soon, while rounds fail or cannot tell."""
        moments = [trigger.moment_from(after_s + 1) for _, trigger in self._jobs]
        if self._rounds is not None:
            moments.append(after_s + _LOOK_AGAIN_S if self._has_failed else self._next_round(self._rounds, after_s))
        return min(moments)

    def _next_round(self, rounds: Rounds, after_s: int) -> int:
        try:
            return rounds.next_moment(after_s)
        except Exception:
            # Raised here, it would end the calendar of the process for good.
            log.exception("the next round cannot be told now", rounds=rounds.name)
            return after_s + _LOOK_AGAIN_S

    def due(self, first_s: int, last_s: int) -> list[tuple[int, Job, int]]:
        """(time, job, interval) of every moment in first … last, in the order in which they are to run."""
        found = [
            (time_s, order, job, trigger.interval_at(time_s))
            for order, (job, trigger) in enumerate(self._jobs)
            for time_s in range(trigger.moment_from(first_s), last_s + 1, self._time_unit_s)
        ]
        return [(time_s, job, interval) for time_s, _, job, interval in sorted(found, key=lambda row: row[:2])]

    def run(
        self, clock: Clock, stop: threading.Event, on_idle: Callable[[], None] | None = None, duty: Duty = ALONE
    ) -> None:
        """Run the jobs until `stop` is set, while this process has the duty.

        `on_idle` is called whenever everything that was due is done, and when this process stands by.
        """
        tell = on_idle or _nothing
        if isinstance(clock, SimulatedClock):
            duty.leader.on_gain(clock.interrupt)
        while not stop.is_set():
            if not duty.leader.is_held():
                tell()
                self._stand_by(clock, stop, duty)
            elif _attempt("take up the calendar", duty.take_up) and not stop.is_set():
                self._act(clock, stop, tell, duty)

    def _stand_by(self, clock: Clock, stop: threading.Event, duty: Duty) -> None:
        """Wait until this process may have the duty."""
        if isinstance(clock, SimulatedClock):
            clock.wait_until(self.next_moment(int(clock.now())))
            return
        while not duty.leader.is_held() and not stop.wait(_ASK_FOR_DUTY_EVERY_S):
            pass

    def _act(self, clock: Clock, stop: threading.Event, tell: Callable[[], None], duty: Duty) -> None:
        self._failed.clear()
        done_until_s = int(clock.now()) - CATCH_UP_INTERVALS * self._time_unit_s
        done_until_s = self._run_due(done_until_s, clock, duty)
        tell()
        if isinstance(clock, SimulatedClock):
            self._step(clock, stop, done_until_s, tell, duty)
        else:
            self._schedule(clock, stop, done_until_s, duty)

    def _run_due(self, done_until_s: int, clock: Clock, duty: Duty = ALONE) -> int:
        now_s = int(clock.now())
        self._run_failed(now_s)
        for _, job, interval in self.due(done_until_s + 1, now_s):
            if not duty.leader.is_held():
                return now_s
            self._run(job, interval)
        if self._rounds is not None and duty.leader.is_held():
            self._has_failed = not _attempt(self._rounds.name, self._rounds.run)
        return now_s

    def _run(self, job: Job, interval: int) -> None:
        if run_job(job, interval):
            self._failed.pop((job.name, interval), None)
        else:
            self._failed[job.name, interval] = job

    def _run_failed(self, now_s: int) -> None:
        """Once more what has failed before, as long as a start would catch it up."""
        oldest_s = now_s - CATCH_UP_INTERVALS * self._time_unit_s
        for (_, interval), job in list(self._failed.items()):
            if interval + job.offset_s > oldest_s:
                self._run(job, interval)
            else:
                del self._failed[job.name, interval]

    def _step(
        self, clock: SimulatedClock, stop: threading.Event, done_until_s: int, tell: Callable[[], None], duty: Duty
    ) -> None:
        while not stop.is_set():
            clock.wait_until(self.next_moment(done_until_s))
            if not duty.leader.is_held():
                return
            done_until_s = self._run_due(done_until_s, clock, duty)
            tell()

    def _schedule(self, clock: Clock, stop: threading.Event, done_until_s: int, duty: Duty) -> None:
        done = done_until_s

        def work() -> None:
            # What has become due while this ran is not left to the next moment.
            nonlocal done
            while self.next_moment(done) <= int(clock.now()) and not stop.is_set() and duty.leader.is_held():
                done = self._run_due(done, clock, duty)

        # One worker: the jobs of a process follow each other in the calendar's order, as they do in simulated time.
        scheduler = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(1)})
        scheduler.add_job(work, NextMomentTrigger(self.next_moment), misfire_grace_time=None)
        work()
        scheduler.start()
        while not stop.wait(_ASK_FOR_DUTY_EVERY_S) and duty.leader.is_held():
            pass
        scheduler.shutdown(wait=True)


def run_job(job: Job, interval: int) -> bool:
    """Run a job once; a failure is logged and counted, and tried again for a while, and never stops the others.

    Returns whether it was done.
    """
    return _attempt(job.name, partial(job.action, interval), interval=interval)


def _attempt(name: str, work: Callable[[], object], **about: object) -> bool:
    failures = _FAILURES.labels(name)  # from 0 on, so that the first one shows as an increase

    def note(state: RetryCallState) -> None:
        failures.inc()
        problem = state.outcome.exception() if state.outcome else None
        log.error("job failed", job=name, attempt=state.attempt_number, exc_info=problem, **about)

    attempts = Retrying(
        retry=retry_if_exception_type(Exception),
        stop=stop_after_delay(_PATIENCE_S),
        wait=wait_exponential_jitter(multiplier=0.1, max=5.0),
        after=note,
        retry_error_callback=lambda _: False,
    )

    def once() -> bool:
        work()
        return True

    with _SECONDS.labels(name).time():
        done: bool = attempts(once)
    if done:
        _RUNS.labels(name).inc()
    return done
