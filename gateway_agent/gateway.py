"""One gateway: what it does at the moments of the calendar and when a message comes in.

Everything of one moment - driver's state, reading, states of dispatches and their acknowledgements, the mark that the
moment is done - is one transaction: after a crash at any point the moment is done once, and to the same effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Final

import structlog

from gateway_agent import SOFTWARE_VERSION
from gateway_agent.buffer import REFUSED, WAITING, Moment
from gateway_agent.checkpoints import GatewayPoint
from gateway_agent.clock_check import Standing
from gateway_agent.clock_watch import ClockWatch
from gateway_agent.control import Applied, Control
from gateway_agent.dispatch import Authorities, Conditions, Tracked, advance, receive, running
from gateway_agent.drivers import DriverError, Measurement, Registers
from gateway_agent.inbox import Inbox
from gateway_agent.link import Link
from gateway_agent.metering import ImplausibleMeasurement, next_reading, opening_from, opening_to
from gateway_agent.metrics import Metrics
from gateway_agent.outbox import Outbox
from gateway_agent.parts import Parts
from market import checkpoints
from market.clock import Clock
from market.domain.errors import MeritgridError
from market.domain.states import DispatchState
from oracle.messages import (
    DispatchSnapshot,
    Liveness,
    Plan,
    PlantSummary,
    Receipts,
    RetainedMessage,
    SignedReading,
)

log = structlog.get_logger(__name__)

MAX_CATCH_UP_INTERVALS: Final = 3_000
STATUS_EVERY_BOUNDARIES: Final = 4
LOOK_S: Final = 1.0
_REMEMBERED_UNITS: Final = 10
_LOOK_AT_START_S: Final = 0.05
_NEWEST: Final = {DispatchSnapshot.CHANNEL: "revision", Plan.CHANNEL: "plan_issued_at"}
"""Channel -> the value of the buffer that keeps which of its messages was the newest."""


class Gateway:
    """One gateway at work. Its moments are called by the agent; its messages by its own line to the broker."""

    def __init__(self, parts: Parts, clock: Clock, metrics: Metrics) -> None:
        enrolled = parts.enrolled
        self.parts = parts
        self.name = f"{enrolled.nanogrid}"
        self._metrics = metrics
        self._buffer = parts.buffer
        self._driver = parts.driver
        self._unit_s = enrolled.time_unit_s
        self._watch = ClockWatch(clock, self._unit_s, parts.buffer, metrics, self.name)
        self._authorities = Authorities(
            enrolled.nanogrid, enrolled.oracle, enrolled.dso, enrolled.settlement, enrolled.signals, self._unit_s
        )
        self._inbox = Inbox(parts.signer.gateway, enrolled.nanogrid, enrolled.oracle, enrolled.settlement)
        reserve = parts.settings.bidding.reserve_soc_permille
        self._control = Control(parts.driver, parts.settings.limits, reserve, self._unit_s)
        self.outbox = Outbox(parts.buffer)
        self.link = Link(
            parts.broker,
            parts.signer.gateway,
            status=self._status,
            received=self.received,
            talk=self.outbox.talk,
            changed=self._link_changed,
        )
        self._lock = asyncio.Lock()
        self._news = asyncio.Event()
        self._book: dict[str, Tracked] = {}
        self._opening: Registers | None = None
        self._measured: Measurement | None = None
        self._lost_at: int | None = None
        self._is_held = False
        self._held_snapshot: DispatchSnapshot | None = None

    # START AND STOP

    async def start(self) -> None:
        """Take up the stored state; the first step applies or releases what the devices had. DriverError."""
        now = self._watch.now()
        self._lost_at = now
        self._book = self._buffer.dispatches()
        await self._driver.open(self._buffer.value("driver"), now)
        self._opening = opening_from(self._buffer.value("opening"))
        self._control.resume(Applied.from_json(self._buffer.value("applied")))
        if self._buffer.value("boundary") is None:
            with self._buffer.transaction() as moment:
                moment.set_value("boundary", -(-now // self._unit_s) * self._unit_s - self._unit_s)
                self._save_state(moment)

    async def close(self) -> None:
        """Close devices and buffer; a set-point stays until its lease ends."""
        await self._driver.close()
        self._buffer.close()

    # MOMENTS

    async def run_due(self, now: int) -> None:
        """Do what is due: boundaries of intervals that are not marked done, and the steps of dispatches."""
        await self._keep_uplink(now)
        await self._come_up()
        self.outbox.wake()

    async def _come_up(self) -> None:
        async with self._lock:
            if self._is_held:
                return
            now = self._watch.look()
            if not await self._catch_up(now):
                await self._step(now)

    async def _catch_up(self, now: int) -> bool:
        """Do the boundaries up to now that are not marked done, before anything else moves the devices on; none while
        the clock is wrong, since what is measured by it belongs to another interval."""
        if self._watch.standing.is_wrong:
            return False
        done: int = self._buffer.value("boundary")
        if self._watch.standing is Standing.RIGHT and done > now + self._watch.tolerance_s:
            done = self._come_back(done, now)
        first = max(done + self._unit_s, now - MAX_CATCH_UP_INTERVALS * self._unit_s)
        first = -(-first // self._unit_s) * self._unit_s
        for at in range(first, now + 1, self._unit_s):
            await self._boundary(at, now)
        return first <= now

    def next_wake(self, now: int) -> int:
        """The next time at which there is something to do, after `now`."""
        wakes = [(now // self._unit_s + 1) * self._unit_s]
        wakes += [edge for outage in self.parts.settings.outages for edge in outage]
        if self._control.applied is not None:
            wakes.append(self._control.applied.expires_at)
            if self._lost_at is not None:
                wakes.append(self._lost_at + self.parts.settings.limits.grace_s + 1)
        return min(wake for wake in wakes if wake > now)

    async def settle(self, patience_s: float) -> None:
        """Wait (in real time) until all is sent, receipted and heard, or the patience ends. At once when offline by
        wish."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_s
        while self.link.is_wanted and (left := deadline - loop.time()) > 0:
            self._news.clear()
            if self.link.is_connected and self.link.is_drained and self.outbox.is_empty():
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, 0.5)):
                    await self._news.wait()

    async def keep_watch(self) -> None:
        """Follow the owner's stop, and a clock that is set, within a second or so, whenever it comes; until this task
        is cancelled. While the clock is wrong, this goes on instead of it."""
        known = self._looked()
        while True:
            await asyncio.sleep(LOOK_S)
            present = self._looked()
            if present != known or self._watch.standing.is_wrong:
                known = present
                await self._come_up()
                self.outbox.wake()
            self._ask_for_time()

    def _looked(self) -> tuple[bool, Standing]:
        self._watch.look()
        return bool(self._buffer.value("stopped")), self._watch.standing

    # THE CLOCK

    def hold(self) -> None:
        """At a start: do nothing by the clock and sign nothing, until `first_word` has ended."""
        self._is_held = True

    async def first_word(self, heard_within_s: float, sure_within_s: float) -> None:
        """Wait (in real time) until it is known whether the clock is right, then begin; by its own clock where the
        oracle has said nothing of the time, or nothing sure, within so many seconds."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        patience_s = {Standing.UNKNOWN: heard_within_s, Standing.UNSURE: sure_within_s}
        while loop.time() - began < patience_s.get(self._watch.standing, 0.0):
            self._ask_for_time()
            await asyncio.sleep(_LOOK_AT_START_S)
        async with self._lock:
            self._is_held = False
            if self._held_snapshot is not None:
                await self._take_snapshot(self._held_snapshot)
                self._held_snapshot = None

    @property
    def is_clock_wrong(self) -> bool:
        """Whether the clock is known to be wrong."""
        return self._watch.standing.is_wrong

    def _ask_for_time(self) -> None:
        """Say the status where the oracle's word is needed: it answers, and says its time with that."""
        if self.link.is_connected and self._watch.is_to_ask():
            self.outbox.say(self._status(True))

    def _come_back(self, done: int, now: int) -> int:
        """The clock was ahead when the last boundary was marked: the present interval's start counts as done."""
        present = now // self._unit_s * self._unit_s
        log.error("boundaries were marked that had not come", nanogrid=self.name, until=done, now=now)
        self._opening = None
        with self._buffer.transaction() as moment:
            moment.note(now, "clock", problem=f"boundaries were marked up to {done}: they are to come")
            moment.set_value("boundary", present)
            self._save_state(moment)
        return present

    async def _keep_uplink(self, now: int) -> None:
        is_cut = any(start <= now < end for start, end in self.parts.settings.outages)
        if is_cut == self.link.is_wanted:
            await self.link.cut(is_cut)

    async def _boundary(self, at: int, now: int) -> None:
        """The end of one interval and the start of the next, at the moment `at` <= now."""
        measured, fault = await self._measure(at)
        reading = None
        if measured is not None:
            reading, fault = self._reading(measured.registers)
        self._opening = measured.registers if measured else None
        # A boundary that was missed is measured only: what was to be controlled then is past.
        is_present = at + self._unit_s > now
        changed, notes = await self._advance(now) if is_present else ([], [])
        checkpoints.passed(GatewayPoint.MOVED)
        with self._buffer.transaction() as moment:
            if reading is not None:
                moment.add_reading(reading, self.parts.enrolled.settlement)
            self._save_changes(moment, changed, notes, now)
            if fault:
                moment.note(at, "measurement", problem=fault)
            moment.set_value("boundary", at)
            self._save_state(moment)
        checkpoints.passed(GatewayPoint.KEPT)
        self._remember(changed, now)
        self._metrics.count("boundaries_total")
        if reading is not None:
            self._metrics.count("readings_signed_total")
        if at // self._unit_s % STATUS_EVERY_BOUNDARIES == 0:
            self._buffer.prune()
            if self.link.is_connected:
                self.outbox.say(self._status(True))

    async def _measure(self, at: int) -> tuple[Measurement | None, str]:
        try:
            self._measured = await self._driver.measure(at)
        except DriverError as problem:
            self._metrics.count("driver_errors_total")
            log.warning("no measurement", nanogrid=self.name, at=at, problem=str(problem))
            self._measured = None
            return None, str(problem)
        return self._measured, ""

    def _reading(self, closing: Registers) -> tuple[SignedReading | None, str]:
        connection_w = self._driver.capabilities().connection_w
        try:
            reading = next_reading(self._buffer, self.parts.signer, self._opening, closing, self._unit_s, connection_w)
        except ImplausibleMeasurement as problem:
            self._metrics.count("readings_implausible_total")
            log.warning("implausible measurement", nanogrid=self.name, problem=str(problem))
            return None, str(problem)
        return reading, ""

    async def _step(self, now: int, arrived: Iterable[Tracked] = (), revision: int | None = None) -> None:
        """Bring dispatches and devices to `now` and store it, when anything changes."""
        changed, notes = await self._advance(now, arrived)
        if changed or notes or revision is not None:
            checkpoints.passed(GatewayPoint.MOVED)
            with self._buffer.transaction() as moment:
                self._save_changes(moment, changed, notes, now)
                if revision is not None:
                    moment.set_value(_NEWEST[DispatchSnapshot.CHANNEL], revision)
                self._save_state(moment)
            checkpoints.passed(GatewayPoint.KEPT)
            self._remember(changed, now)

    async def _advance(self, now: int, arrived: Iterable[Tracked] = ()) -> tuple[list[Tracked], list[str]]:
        """All changes of state up to now, in order, and what the owner should read; the devices follow."""
        changed = list(arrived)
        book = self._book | {tracked.order.id: tracked for tracked in changed}
        conditions = self._conditions(now)
        while fresh := advance(book.values(), self._unit_s, conditions):
            changed += fresh
            book |= {tracked.order.id: tracked for tracked in fresh}
        notes: list[str] = []
        orders = running(book.values(), now)
        try:
            if await self._control.follow(orders, now):
                notes.append(f"following {len(orders)} dispatches" if orders else "released")
        except DriverError as problem:
            self._metrics.count("driver_errors_total")
            log.error("the devices do not follow", nanogrid=self.name, problem=str(problem))
            notes.append(f"driver: {problem}")
            changed += [each.to(DispatchState.ABORTED, now, f"driver: {problem}"[:200]) for each in orders]
        applied = self._control.applied
        if applied is not None and applied.limited_by:
            limited = "limited: " + ", ".join(applied.limited_by)
            started = {each.order.id for each in changed if each.state is DispatchState.STARTED}
            changed = [
                replace(each, reason=limited) if each.state is DispatchState.STARTED else each for each in changed
            ]
            notes += [limited] if started else []
        return changed, notes

    def _conditions(self, now: int) -> Conditions:
        is_stopped = bool(self._buffer.value("stopped"))
        return Conditions(now, is_stopped, self._lost_at, self.parts.settings.limits.grace_s)

    # MESSAGES

    async def received(self, topic: str, payload: bytes) -> None:
        """A message of the broker; what is not in order is noted and changes nothing."""
        checkpoints.passed(GatewayPoint.HEARD, topic)
        came = self._watch.moment()
        async with self._lock:
            try:
                message = self._inbox.open(topic, payload)
            except MeritgridError as problem:
                self._metrics.count("messages_refused_total", reason=problem.code)
                log.warning("message refused", nanogrid=self.name, topic=topic, problem=problem.sentence)
                with self._buffer.transaction() as moment:
                    moment.note(self._watch.now(), "message-refused", topic=topic, problem=problem.sentence[:500])
                return
            if isinstance(message, Receipts):
                self._take_receipts(message)
            elif message is not None:
                self._watch.hear(message, came)
                await self._take_retained(message)
        self.outbox.wake()
        self._news.set()

    def _take_receipts(self, message: Receipts) -> None:
        with self._buffer.transaction() as moment:
            refused = moment.confirm(message.receipts)
            for receipt in refused:
                moment.note(self._watch.now(), "reading-refused", interval=receipt.interval, reason=receipt.reason)
        checkpoints.passed(GatewayPoint.RECEIPTS_KEPT)
        for receipt in refused:
            self._metrics.count("readings_refused_total")
            log.error("reading refused", nanogrid=self.name, interval=receipt.interval, reason=receipt.reason)

    async def _take_retained(self, message: DispatchSnapshot | Plan) -> None:
        """Follow a message that takes the place of the one before; a late copy of an older one changes nothing."""
        if message.order < self._newest(message):
            self._metrics.count("messages_outdated_total", channel=message.CHANNEL.value)
            return
        if isinstance(message, DispatchSnapshot) and self._is_held:
            if self._held_snapshot is None or message.order >= self._held_snapshot.order:
                self._held_snapshot = message
        elif isinstance(message, DispatchSnapshot):
            await self._take_snapshot(message)
        else:
            with self._buffer.transaction() as moment:
                moment.save_plan(message.entries)
                moment.set_value(_NEWEST[message.CHANNEL], message.order)

    def _newest(self, message: RetainedMessage) -> int:
        return self._buffer.value(_NEWEST[message.CHANNEL]) or 0

    async def _take_snapshot(self, snapshot: DispatchSnapshot) -> None:
        known = self._newest(snapshot)
        now = self._watch.look()
        await self._catch_up(now)
        # What has ended long ago is not remembered, but it is written down: it never comes back as new.
        ended = self._buffer.dispatches(ids=[each.id for each in snapshot.dispatches if each.id not in self._book])
        arrived = receive(self._book | ended, snapshot, self._authorities, self._conditions(now))
        revoked = {id_ for id_, each in self._book.items() if each.state is DispatchState.REVOKED}
        await self._step(now, arrived, snapshot.revision if snapshot.revision > known else None)
        self._repeat_acknowledgements(snapshot, revoked)

    def _repeat_acknowledgements(self, snapshot: DispatchSnapshot, revoked: set[str]) -> None:
        """Say again what the oracle has not stored yet. It answers what is new to it only, so the two do not echo.

        Of what it has withdrawn before, a snapshot does not show whether the answer was heard: that is said again, too.
        """
        named = {order.id: order.acknowledged_state for order in snapshot.dispatches}
        unheard = [
            id_
            for id_, tracked in self._book.items()
            if (tracked.state.name != named[id_] if id_ in named else id_ in revoked)
        ]
        if unheard:
            with self._buffer.transaction() as moment:
                for dispatch in unheard:
                    moment.repeat_acknowledgements(dispatch)

    # MEMORY

    def _save_changes(self, moment: Moment, changed: list[Tracked], notes: list[str], now: int) -> None:
        moment.save_dispatches(changed)
        for tracked in changed:
            order = tracked.order
            moment.add_acknowledgement(
                self.parts.signer.acknowledgement(
                    order.id, tracked.state.name, tracked.changed_at, tracked.reason[:200]
                )
            )
            if tracked.reason:
                moment.note(now, "dispatch", id=order.id, state=tracked.state.name, reason=tracked.reason)
        for note in notes:
            moment.note(now, "control", what=note)

    def _save_state(self, moment: Moment) -> None:
        applied = self._control.applied
        moment.set_value("driver", self._driver.state())
        moment.set_value("opening", opening_to(self._opening))
        moment.set_value("applied", applied.to_json() if applied else None)

    def _remember(self, changed: list[Tracked], now: int) -> None:
        self._book |= {tracked.order.id: tracked for tracked in changed}
        oldest = now - _REMEMBERED_UNITS * self._unit_s
        self._book = {id_: each for id_, each in self._book.items() if each.is_open or each.order.interval >= oldest}
        for tracked in changed:
            self._metrics.count("dispatches_total", state=tracked.state.name)

    def _link_changed(self, is_connected: bool) -> None:
        if is_connected and self._lost_at is not None:
            self._lost_at = None
            self._metrics.count("connections_total")
        elif not is_connected:
            self._lost_at = self._watch.now()
        self._news.set()

    def _status(self, is_online: bool) -> bytes:
        measured, counts = self._measured, self._buffer.counts()
        summary = PlantSummary(
            active_power_w=measured.active_power_w if measured else None,
            reactive_power_var=measured.reactive_power_var if measured else None,
            devices=tuple(device.kind for device in self._driver.capabilities().devices),
            readings_waiting=counts[WAITING],
            readings_refused=counts[REFUSED],
        )
        state = Liveness.ONLINE if is_online else Liveness.OFFLINE
        soc_permille = dict(measured.soc_permille) if measured else {}
        sequence = self._buffer.head().sequence
        at = self._watch.own_now()  # so that the oracle sees a clock that is ahead
        return self.parts.signer.status(state, at, SOFTWARE_VERSION, sequence, soc_permille, summary).payload()
