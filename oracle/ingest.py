"""What comes from the gateways: checked, written down, then answered. Whatever is wrong goes to quarantine.

Nothing is acknowledged before it is committed, and everything may come twice. One bad message never stops the rest.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog
from prometheus_client import Counter
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from market import checkpoints
from market.domain.calendar import CLOCK_FRACTION, Calendar
from market.domain.errors import BadSignature, MeritgridError
from market.domain.gateway_key import KeyKind, kind_of
from market.domain.hashing import keccak256
from market.domain.states import DispatchState
from market.domain.typed_data import Domain, checksum_address
from market.services.access import serves
from market.services.notices import note_dispatch, note_reading
from market.settings import DEFAULT_MESSAGE_BURST, DEFAULT_MESSAGES_PER_S
from market.store.database import lock_gateway, session_scope
from market.store.facts import Acknowledgement, GatewayStatus, Quarantined, Reading
from market.store.projections import ChainEvent, Nanogrid
from market.store.work import Dispatch, OutboxState
from oracle.answers import Answers
from oracle.checkpoints import IngestPoint
from oracle.messages import (
    GENESIS_HASH,
    MAX_PAYLOAD_BYTES,
    Channel,
    Liveness,
    MessageRefused,
    ReadingBatch,
    Receipt,
    ReceiptOutcome,
    Receipts,
    SignedAcknowledgement,
    SignedReading,
    Status,
    parse,
    parse_topic,
    topic_for,
)
from oracle.outgoing import Outgoing
from oracle.throttle import Throttle

log = structlog.get_logger(__name__)

_RECEIVED = Counter("meritgrid_messages_total", "Messages from gateways by channel", ["channel"])
_REPEATED = Counter("meritgrid_messages_repeated_total", "Messages that came again and were answered as before")
_THROTTLED = Counter("meritgrid_throttled_total", "Messages let fall since their gateway sends too many")
_REFUSED = Counter("meritgrid_quarantined_total", "Messages in quarantine by reason", ["reason"])
_AHEAD = Counter("meritgrid_statuses_ahead_total", "Statuses of gateways whose clocks are ahead of the oracle's")
_TOO_EARLY: Final = "interval-not-over"
_NOT_BEGUN: Final = "interval-not-begun"
for _code in (_TOO_EARLY, _NOT_BEGUN):
    _REFUSED.labels(_code)  # from 0 on, so that the first one shows as an increase

PLAUSIBLE_FACTOR: Final = 2
"""A reading above so many times the rated power is physically impossible."""
_MARGIN_WH: Final = 100
_SECONDS_PER_HOUR: Final = 3600
_KEPT_PER_S: Final = 1 / 60
_KEPT_BURST: Final = 400
"""Refused messages of a gateway that quarantine keeps. It sends again what has no receipt or will pass: one whose clock
was ahead by an hour filled a disk. Readings that keep their place in the chain are always kept."""
_MAX_REASON: Final = 200
_ORDER: Final = (
    OutboxState.NEW,
    OutboxState.PUBLISHED,
    OutboxState.UNANSWERED,
    OutboxState.ACCEPTED,
    OutboxState.STARTED,
)


class ReadingRefused(MeritgridError):
    """A reading that cannot be taken."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(code, "The reading is refused", sentence)


@dataclass(slots=True)
class _Place:
    """Where a reading stands in its gateway's chain; empty while it is not known to be the next one."""

    gateway: str | None = None
    sequence: int | None = None


@dataclass(frozen=True)
class Ingest:
    """Takes messages in. now: the market's time [epoch s]; changed: is told whose dispatches moved; came: who is online
    (again); takes_p256: the chain can check signatures of P-256 keys; throttle: how many of a gateway are taken; kept:
    how many of its refused ones quarantine keeps; latest: the time by the latest that the clock has shown [epoch s]."""

    engine: Engine
    settlement: Domain
    oracle_key: bytes
    calendar: Calendar
    now: Callable[[], float]
    changed: Callable[[str], None] = lambda _: None
    came: Callable[[str], None] = lambda _: None
    takes_p256: bool = True
    throttle: Throttle = field(default_factory=lambda: Throttle(DEFAULT_MESSAGES_PER_S, DEFAULT_MESSAGE_BURST))
    kept: Throttle = field(default_factory=lambda: Throttle(_KEPT_PER_S, _KEPT_BURST))
    answers: Answers = field(default_factory=Answers)
    latest: Callable[[], float] = lambda: 0.0

    def take(self, topic: str, payload: bytes) -> list[Outgoing]:
        """Handle one message; what it returns is published after the commit."""
        checkpoints.passed(IngestPoint.HEARD, topic)
        outgoing = [] if self._is_too_much(topic, payload) else self._answered(topic, payload)
        checkpoints.passed(IngestPoint.STORED, topic)
        return outgoing

    def _answered(self, topic: str, payload: bytes) -> list[Outgoing]:
        if repeated := self.answers.to(topic, payload):
            _REPEATED.inc()
            return repeated
        return self._taken(topic, payload)

    def _taken(self, topic: str, payload: bytes) -> list[Outgoing]:
        try:
            received = parse(topic, payload)
        except MessageRefused as refusal:
            return self._quarantine(topic, payload, refusal)
        _RECEIVED.labels(received.channel.value).inc()
        try:
            if isinstance(received.message, ReadingBatch):
                return self._readings(received.gateway, topic, payload, received.message)
            if isinstance(received.message, SignedAcknowledgement):
                self._acknowledgement(received.gateway, received.message)
            elif isinstance(received.message, Status):
                self._status(received.gateway, received.message)
        except MeritgridError as refusal:
            return self._quarantine(topic, payload, refusal)
        return []

    def _is_too_much(self, topic: str, payload: bytes) -> bool:
        """Whether the message is let fall, unread: its gateway has no receipt, and sends what is worth it again."""
        try:
            gateway, _ = parse_topic(topic)
        except MessageRefused:
            return False  # which `parse` says
        if self.throttle.admits(gateway):
            return False
        _THROTTLED.inc()
        if self.throttle.is_to_be_said(gateway):
            most = f"{self.throttle.per_s:g} messages a second ({self.throttle.burst} at once)"
            sentence = f"The gateway sends more than {most}; what is above is let fall, and this is said once a minute."
            with session_scope(self.engine) as session:
                self._keep(session, topic, payload, ReadingRefused("too-many-messages", sentence))
        return True

    # READINGS

    def _readings(self, gateway: str, topic: str, payload: bytes, batch: ReadingBatch) -> list[Outgoing]:
        with session_scope(self.engine) as session:
            # Which reading is the gateway's next one must not change before this one is stored.
            lock_gateway(session, gateway)
            receipts = tuple(self._receipt(session, gateway, topic, reading) for reading in batch.readings)
            _written(session, Channel.READINGS)
        sealed = Receipts.sealed(self.oracle_key, self.settlement, gateway=gateway, receipts=receipts)
        answer = [Outgoing(topic_for(gateway, Channel.RECEIPTS), sealed.payload())]
        if all(receipt.outcome is not ReceiptOutcome.REFUSED for receipt in receipts):
            self.answers.remember(topic, payload, answer)  # a refusal may pass
        return answer

    def _receipt(self, session: Session, gateway: str, topic: str, reading: SignedReading) -> Receipt:
        receipt = partial(
            Receipt,
            subject=reading.digest(self.settlement),
            nanogrid=reading.nanogrid,
            interval=reading.interval,
            sequence=reading.sequence,
        )
        place = _Place()
        try:
            outcome = self._store(session, gateway, reading, place)
        except MeritgridError as refusal:
            self._keep(session, topic, reading.model_dump_json().encode(), refusal, place)
            return receipt(outcome=ReceiptOutcome.REFUSED, code=refusal.code, reason=refusal.sentence[:_MAX_REASON])
        return receipt(outcome=outcome)

    def _store(self, session: Session, gateway: str, reading: SignedReading, place: _Place) -> ReceiptOutcome:
        signer = reading.signer(self.settlement)
        if signer.lower() != gateway:
            raise BadSignature("The reading is not signed by the gateway on whose topic it came.")
        if not self.takes_p256 and kind_of(bytes.fromhex(reading.signature[2:])) is KeyKind.P256:
            # The operator may have seated its address; the contract would refuse every batch that holds it.
            raise ReadingRefused("unsupported-key", "The chain cannot check signatures of P-256 keys.")
        seat = session.get(Nanogrid, reading.nanogrid)
        if seat is None or not serves(session, signer, reading.nanogrid):
            raise ReadingRefused("unknown-gateway", f"{signer} does not serve nanogrid {reading.nanogrid} (any more).")
        digest = reading.digest(self.settlement)
        known = session.scalar(
            select(Reading).where(Reading.nanogrid == reading.nanogrid, Reading.interval == reading.interval)
        )
        if known is not None and known.digest == digest:
            return ReceiptOutcome.DUPLICATE
        is_over = self.calendar.end_of(reading.interval) <= self.now()
        has_begun = is_over or self._has_begun(session, reading.interval)
        if has_begun and not is_over:
            # Passes with time, and is sent again then: it takes no place.
            raise ReadingRefused(_TOO_EARLY, f"The interval {reading.interval} is not over yet.")
        disorder = self._disorder(session, signer, reading)
        if disorder is None:
            place.gateway, place.sequence = signer, reading.sequence
        if known is not None:
            raise ReadingRefused(
                "contradicting-reading", f"Another reading of interval {reading.interval} is stored; both are evidence."
            )
        if disorder is not None:
            raise disorder
        if not has_begun:
            # For good: nobody can have measured it. Taken later it would count for what it does not hold.
            raise ReadingRefused(_NOT_BEGUN, f"The interval {reading.interval} had not begun when its reading came.")
        self._require_possible(reading, seat)
        row = self._row(reading, signer, digest)
        note_reading(session, row, row.received_at)
        session.add(row)
        session.flush()
        return ReceiptOutcome.STORED

    def _has_begun(self, session: Session, interval: int) -> bool:
        """By this clock, by the latest that it has shown, or by the chain's: a clock of ours that is behind or was set
        back must not cost all gateways their readings, and where nothing happens the chain does not tell."""
        block_time = session.scalar(select(ChainEvent.block_time).order_by(ChainEvent.block.desc()).limit(1))
        return interval <= max(self.now(), self.latest(), block_time or 0)

    def _require_possible(self, reading: SignedReading, seat: Nanogrid) -> None:
        if not self.calendar.is_interval(reading.interval):
            raise ReadingRefused("not-an-interval", f"{reading.interval} is not the start of an interval.")
        rated_wh = seat.rated_power_w * self.calendar.time_unit_s // _SECONDS_PER_HOUR
        most = PLAUSIBLE_FACTOR * rated_wh + _MARGIN_WH
        for name, value in (("active", reading.active_energy_wh), ("reactive", reading.reactive_energy_varh)):
            if abs(value) > most:
                raise ReadingRefused(
                    "implausible-reading", f"{value} {name} is beyond {most}, which the connection allows."
                )

    def _disorder(self, session: Session, signer: str, reading: SignedReading) -> ReadingRefused | None:
        """Why a reading is not the next one of its gateway's chain; None when it is."""
        last = self._last(session, signer)
        expected = 1 if last is None else last.sequence + 1
        head = GENESIS_HASH if last is None else last.entry_hash(self.settlement)
        if reading.sequence < expected:
            return ReadingRefused("replayed-reading", f"Sequence {reading.sequence} has been; {expected} is next.")
        if reading.sequence > expected:
            return ReadingRefused("out-of-order", f"Sequence {expected} is next, not {reading.sequence}.")
        if reading.previous_hash != head:
            return ReadingRefused("broken-hash-chain", f"previous_hash must be {head}.")
        return None

    def _last(self, session: Session, signer: str) -> SignedReading | None:
        """The last reading that came in its place: stored, or refused for what it says."""
        stored = session.scalar(
            select(Reading.payload).where(Reading.gateway == signer).order_by(Reading.sequence.desc()).limit(1)
        )
        refused = session.scalar(
            select(Quarantined.payload)
            .where(Quarantined.gateway == signer)
            .order_by(Quarantined.sequence.desc())
            .limit(1)
        )
        readings = [SignedReading.model_validate_json(payload) for payload in (stored, refused) if payload is not None]
        return max(readings, key=lambda reading: reading.sequence, default=None)

    def _row(self, reading: SignedReading, signer: str, digest: str) -> Reading:
        return Reading(
            nanogrid=reading.nanogrid,
            interval=reading.interval,
            sequence=reading.sequence,
            gateway=signer,
            active_energy_wh=reading.active_energy_wh,
            reactive_energy_varh=reading.reactive_energy_varh,
            payload=reading.model_dump_json().encode(),
            signature=bytes.fromhex(reading.signature[2:]),
            digest=digest,
            previous_hash=reading.previous_hash,
            salt=secrets.token_bytes(32),
            quality=reading.quality.value,
            received_at=int(self.now()),
        )

    # ACKNOWLEDGEMENTS AND STATUS

    def _acknowledgement(self, gateway: str, message: SignedAcknowledgement) -> None:
        signer = message.signer(self.settlement)
        if signer.lower() != gateway:
            raise BadSignature("The acknowledgement is not signed by the gateway on whose topic it came.")
        with session_scope(self.engine) as session:
            lock_gateway(session, gateway)
            dispatch = session.get(Dispatch, message.dispatch)
            if dispatch is None or dispatch.gateway.lower() != gateway:
                raise ReadingRefused("unknown-dispatch", f"There is no dispatch {message.dispatch} for this gateway.")
            is_new = self._note(session, dispatch, message, signer)
            _written(session, Channel.ACKS)
        if is_new:
            self.changed(gateway)

    def _note(self, session: Session, dispatch: Dispatch, message: SignedAcknowledgement, signer: str) -> bool:
        """Write an acknowledgement down; False when it is there already."""
        state = message.dispatch_state
        known = session.scalar(
            select(Acknowledgement.id).where(
                Acknowledgement.dispatch == message.dispatch, Acknowledgement.state == int(state)
            )
        )
        if known is not None:
            return False
        note_dispatch(session, dispatch, state.name, int(self.now()))
        session.add(
            Acknowledgement(
                dispatch=message.dispatch,
                gateway=signer,
                nanogrid=message.nanogrid,
                state=int(state),
                at=message.at,
                reason=message.reason or None,
                signature=bytes.fromhex(message.signature[2:]),
                received_at=int(self.now()),
            )
        )
        if state is DispatchState.STARTED:
            dispatch.started_at = dispatch.started_at or message.at  # also when its end has come before it
        if OutboxState(dispatch.state) not in _ORDER or _is_earlier(state, OutboxState(dispatch.state)):
            return True  # an old acknowledgement that comes late changes nothing
        dispatch.state = OutboxState(state.name)
        dispatch.reason = message.reason or None
        dispatch.answered_at = dispatch.answered_at or message.at
        if state not in (DispatchState.NEW, DispatchState.ACCEPTED, DispatchState.STARTED):
            dispatch.ended_at = message.at
        return True

    def _status(self, gateway: str, message: Status) -> None:
        if message.sealed_by(self.settlement).lower() != gateway:
            raise BadSignature("The status is not sealed by the gateway on whose topic it came.")
        online = message.state is Liveness.ONLINE
        with session_scope(self.engine) as session:
            if not serves(session, checksum_address(gateway), message.nanogrid):
                raise ReadingRefused("unknown-gateway", f"{gateway} does not serve nanogrid {message.nanogrid}.")
            session.add(
                GatewayStatus(
                    gateway=checksum_address(gateway),
                    nanogrid=message.nanogrid,
                    online=online,
                    software_version=message.software_version,
                    state=message.model_dump(mode="json", include={"soc_permille", "sequence", "plant"}),
                    received_at=int(self.now()),
                )
            )
            _written(session, Channel.STATUS)
        if online and message.at > self.now() + self.calendar.time_unit_s // CLOCK_FRACTION:
            _AHEAD.inc()
            log.warning("a gateway's clock is ahead", gateway=gateway, ahead_s=message.at - int(self.now()))
        if online:
            self.came(gateway)

    # QUARANTINE

    def _quarantine(self, topic: str, payload: bytes, refusal: MeritgridError) -> list[Outgoing]:
        with session_scope(self.engine) as session:
            self._keep(session, topic, payload, refusal)
        try:
            gateway, channel = parse_topic(topic)
        except MessageRefused:
            return []
        if channel is not Channel.READINGS:
            return []
        receipt = Receipt(
            subject="0x" + keccak256(payload).hex(),
            outcome=ReceiptOutcome.REFUSED,
            code=refusal.code,
            reason=refusal.sentence[:_MAX_REASON],
        )
        sealed = Receipts.sealed(self.oracle_key, self.settlement, gateway=gateway, receipts=(receipt,))
        return [Outgoing(topic_for(gateway, Channel.RECEIPTS), sealed.payload())]

    def _keep(
        self, session: Session, topic: str, payload: bytes, refusal: MeritgridError, place: _Place | None = None
    ) -> None:
        _REFUSED.labels(refusal.code).inc()
        has_place = place is not None and place.gateway is not None
        if not has_place and not self.kept.admits(_sender_of(topic)):
            return
        log.warning("message in quarantine", topic=topic[:200], code=refusal.code, why=refusal.sentence)
        session.add(
            Quarantined(
                topic=topic[:200],
                payload=payload[:MAX_PAYLOAD_BYTES],
                reason=refusal.code[:32],
                sentence=refusal.sentence,
                received_at=int(self.now()),
                gateway=place.gateway if place else None,
                sequence=place.sequence if place else None,
            )
        )


def _sender_of(topic: str) -> str:
    """Gateway of a topic; of those without one all together."""
    try:
        return parse_topic(topic)[0]
    except MessageRefused:
        return ""


def _written(session: Session, channel: Channel) -> None:
    session.flush()
    checkpoints.passed(IngestPoint.WRITTEN, channel)


def _is_earlier(state: DispatchState, than: OutboxState) -> bool:
    """Whether an acknowledged state comes before the one that is known."""
    order = [OutboxState.ACCEPTED, OutboxState.STARTED]
    named = OutboxState(state.name)
    return named in order and than in order and order.index(named) <= order.index(than)
