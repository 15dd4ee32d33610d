"""The oracle process: messages on asyncio, the calendar's jobs on a thread, both over one store.

The jobs thread hands messages to the loop and, in simulated time, holds the clock until they are with the broker and
the gateways that are online have answered.

Of several processes over one PostgreSQL one acts: it alone is with the broker, under the one name whose queue the
broker keeps, and it alone has the calendar. The others stand by.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from pathlib import Path
from typing import Final

import aiomqtt
import structlog

from market import checkpoints
from market.chain.bindings import open_contracts
from market.chain.indexer import Indexer
from market.chain.precompiles import can_check_p256
from market.chain.sender import TransactionSender
from market.clock import ClockRefused, LatestTime, SimulatedClock
from market.domain.calendar import Moment
from market.domain.typed_data import checksum_address
from market.jobs import Duty, Job, Schedule
from market.observability import serve_metrics
from market.services import abandoned
from market.settings import Settings, load_private_key
from market.store.database import migrate, open_engine, read_scope
from market.store.leadership import ORACLE_LEADER, Leadership
from market.tasks import ended
from oracle import dispatching, nominate, settle
from oracle.checkpoints import OutboxPoint
from oracle.context import Oracle
from oracle.forecast import NanogridForecast, read_forecast
from oracle.ingest import Ingest
from oracle.line import Line
from oracle.outgoing import Outgoing
from oracle.throttle import Throttle

log = structlog.get_logger(__name__)

_TRY_AGAIN_S: Final = 0.1
_PUBLISH_WITHIN_S: Final = 20.0
_ANSWERS_WITHIN_S: Final = 8.0
_LOOK_EVERY_S: Final = 0.01
_EXPIRY_AFTER_DEADLINE_S: Final = 1
_LATER_DISPATCHES: Final = (
    Moment.ACKNOWLEDGED, Moment.CHANGES_DISPATCHED, Moment.DELIVERY_STARTS, Moment.LAST_CHANGES_DISPATCHED
)  # fmt: skip
"""When what has changed since is dispatched: commands given by hand, results made final late, awards that RED has taken
back."""


class OracleService:
    """Puts the oracle's parts together and runs them."""

    def __init__(self, settings: Settings, forecast: NanogridForecast) -> None:
        self._settings = settings
        self._forecast = forecast
        self._clock = settings.open_clock("oracle")
        migrate(settings.database)
        engine = open_engine(settings.database)
        contracts = open_contracts(settings)
        key = load_private_key(settings.oracle_key)
        sender = TransactionSender(contracts, engine, key, now=self._clock.now)
        indexer = Indexer(contracts, engine, settings.confirmations)
        self._oracle = Oracle(engine, contracts, sender, key, indexer.index_now, self._clock, contracts.calendar)
        self._leadership = Leadership(engine, ORACLE_LEADER, "oracle")
        self._moved: set[str] = set()
        self._came: set[str] = set()
        self._ingest = Ingest(
            engine,
            self._oracle.settlement,
            key,
            contracts.calendar,
            self._clock.now,
            self._moved.add,
            self._came.add,
            can_check_p256(contracts.web3),
            Throttle(settings.mqtt.gateway_messages_per_s, settings.mqtt.gateway_message_burst),
            latest=LatestTime(self._clock).now,
        )
        self._stop = threading.Event()
        self._line = Line(
            settings.mqtt, take=self._take, greeting=self._open_snapshots, is_wanted=self._leadership.is_held
        )
        self._loop: asyncio.AbstractEventLoop | None = None

    def now(self) -> float:
        """The time by which it acts [epoch s]."""
        return self._clock.now()

    async def run(self, ready: Callable[[], None]) -> None:
        """Run until SIGTERM or SIGINT."""
        self._loop = asyncio.get_running_loop()
        told_to_end = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, told_to_end.set)
        await asyncio.to_thread(self._recover)
        await asyncio.to_thread(self._leadership.start)
        talking = asyncio.create_task(self._line.run())
        ending = asyncio.create_task(told_to_end.wait())
        jobs = threading.Thread(target=self._run_jobs, args=(ready,), name="calendar", daemon=True)
        jobs.start()
        await asyncio.wait([ending, talking], return_when=asyncio.FIRST_COMPLETED)
        self._stop.set()
        if isinstance(self._clock, SimulatedClock):
            await asyncio.to_thread(self._clock.leave)
        talking.cancel()
        await asyncio.to_thread(jobs.join, 10)
        await asyncio.to_thread(self._leadership.close)
        # An oracle that hears nothing any more must not look alive: whatever ended the talk ends the process.
        await ended(ending, talking)
        if not talking.cancelled():
            talking.result()

    def _recover(self) -> None:
        self._oracle.sender.recover()
        self._oracle.index()

    def _take_up(self) -> None:
        """Finish what another process may have begun, and hear the gateways before the first job."""
        self._recover()
        while not self._line.connected.is_set() and self._leadership.is_held():
            if self._stop.wait(_LOOK_EVERY_S):
                return

    # MESSAGES

    def _take(self, topic: str, payload: bytes) -> list[Outgoing]:
        """Handle one message; answers to it first, then what it changes for gateways."""
        outgoing = self._ingest.take(topic, payload)
        return outgoing + self._snapshots_of_news() if self._moved or self._came else outgoing

    def _open_snapshots(self) -> list[Outgoing]:
        with read_scope(self._oracle.engine) as session:
            gateways = dispatching.lately_dispatched(session, self._oracle)
        return dispatching.snapshots(self._oracle, gateways)

    def _snapshots_of_news(self) -> list[Outgoing]:
        moved, came = set(self._moved), set(self._came)
        self._moved -= moved
        self._came -= came
        # Also where nothing is left: what is retained must not come back as new, and a gateway that comes is told the
        # time with it, by which it checks its clock.
        return dispatching.snapshots(self._oracle, map(checksum_address, came | moved))

    def _publish(self, outgoing: Sequence[Outgoing]) -> None:
        """From the jobs thread: publish, and wait until the broker has it; tries again while the broker is away."""
        if self._loop is None:
            raise RuntimeError("the service does not run")
        deadline = time.monotonic() + _PUBLISH_WITHIN_S
        while outgoing and not self._stop.is_set():
            future = asyncio.run_coroutine_threadsafe(self._line.publish(outgoing), self._loop)
            try:
                future.result(_PUBLISH_WITHIN_S)
            except (aiomqtt.MqttError, FutureTimeout, OSError) as problem:
                # Later it would put an old message in the place of a newer one.
                future.cancel()
                if time.monotonic() > deadline:
                    log.warning("not published; it will be when the broker is back", problem=str(problem))
                    return
                time.sleep(_TRY_AGAIN_S)
            else:
                return

    # JOBS

    def _jobs(self) -> list[Job]:
        calendar = self._oracle.calendar
        return [
            Job("nominate", calendar.at(Moment.BASELINES_ANCHORED, 0), self._nominate),
            Job("dispatch", calendar.at(Moment.DISPATCHED, 0), self._dispatch),
            *(
                Job(f"dispatch changes, {moment}", calendar.at(moment, 0), self._dispatch_changes)
                for moment in _LATER_DISPATCHES
            ),
            Job("unanswered", calendar.at(Moment.ACKNOWLEDGED, 0), partial(dispatching.mark_unanswered, self._oracle)),
            Job("settle", calendar.at(Moment.SETTLED, 0), partial(settle.settle, self._oracle)),
            Job(
                "expire",
                calendar.reading_deadline(0) + _EXPIRY_AFTER_DEADLINE_S,
                partial(settle.expire, self._oracle),
            ),
        ]

    def _nominate(self, interval: int) -> None:
        self._publish(nominate.nominate(self._oracle, self._forecast, interval))

    def _dispatch(self, interval: int) -> None:
        gateways = dispatching.write_dispatches(self._oracle, interval)
        if not gateways:
            return
        self._tell(gateways, interval)

    def _tell(self, gateways: set[str], interval: int) -> None:
        self._publish(dispatching.snapshots(self._oracle, gateways))
        checkpoints.passed(OutboxPoint.PUBLISHED, str(interval))
        self._await_answers(interval)

    def _await_answers(self, interval: int) -> None:
        deadline = time.monotonic() + _ANSWERS_WITHIN_S
        while missing := dispatching.waiting_for(self._oracle, interval):
            if time.monotonic() > deadline or self._stop.is_set():
                log.warning("dispatch not acknowledged yet", interval=interval, gateways=sorted(missing))
                return
            time.sleep(_LOOK_EVERY_S)

    def _dispatch_changes(self, interval: int) -> None:
        gateways = dispatching.write_changes(self._oracle, interval)
        if gateways:
            self._tell(gateways, interval)

    def schedule(self) -> Schedule:
        """What it does when."""
        waiting = abandoned.rounds_of(self._oracle.sender, self._clock)
        return Schedule(self._oracle.calendar.time_unit_s, self._jobs(), waiting)

    def _run_jobs(self, ready: Callable[[], None]) -> None:
        try:
            self.schedule().run(self._clock, self._stop, ready, Duty(self._leadership, self._take_up))
        except ClockRefused as refusal:
            if not self._stop.is_set():
                log.error("the clock refused", why=str(refusal))


def serve(
    settings: Settings, forecast_file: Path, ready_file: Path | None, metrics_port: int | None, metrics_host: str
) -> None:
    """Run the oracle.

    Raises:
        SettingsError, DeploymentError, ForecastUnusable: what is missing.
    """

    def ready() -> None:
        if ready_file is not None and not ready_file.exists():
            ready_file.touch()

    async def run() -> None:
        service = await asyncio.to_thread(OracleService, settings, read_forecast(forecast_file))
        serve_metrics(metrics_port, metrics_host, service.now)
        await service.run(ready)

    asyncio.run(run())
