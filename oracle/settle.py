"""Settlement: signed readings against anchored baselines, handed to the contract, which checks and pays.

What is to be settled or ended follows from what the chain has not ended yet, whenever one looks. Repeatable: each batch
is sent once, and what the contract skipped is tried again after a while, and after the end of a hold.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from market.chain.refusals import TransactionFailed
from market.domain.errors import ContractRefused
from market.domain.products import Direction, Kind, Product, Side
from market.domain.settled_records import ANNOUNCED, SettlementReading, pack_readings
from market.domain.settlement import delivered, tolerated
from market.domain.settlement_batches import batches, batches_of_expiry, load_of_reading, settling
from market.domain.states import OfferStatus
from market.domain.trees import award_range, baseline_leaf, baseline_vector, reading_leaf, readings_root
from market.domain.units import index_of, portfolio_of
from market.services.market import purpose_key
from market.services.signals import red_since
from market.store.books import Hold, ReadingNotice, ReadingRoot
from market.store.database import read_scope
from market.store.facts import Baseline, Reading
from market.store.projections import Award, GridCommand, Nanogrid, Offer
from oracle.context import Oracle
from oracle.dispatching import record_missed

log = structlog.get_logger(__name__)

_PATIENCE_UNITS: Final = 4
"""For so many market time units beyond the reading deadline, but at most as long again, what was refused is tried."""


@dataclass(frozen=True, slots=True)
class _Open:
    """An offer's awards that are neither ended nor on hold, all its awards as packed, and its baseline values.

    with_baseline: indices of nanogrids that have one; gateways: nanogrid → its gateway's address now; released: ordinal
    of an award that was on hold → when the hold ended [epoch s]; in_debt: nanogrids that owe something, which a credit
    pays first; may_be_commanded: its node was RED for the interval.
    """

    offer: str
    side: Side
    direction: Direction
    kind: Kind
    interval: int
    may_be_commanded: bool
    packed: bytes
    awards: tuple[Award, ...]
    baseline: tuple[int, ...]
    with_baseline: frozenset[int]
    gateways: Mapping[int, str | None]
    released: Mapping[int, int]
    in_debt: frozenset[int]

    def key_of(self, ordinals: Sequence[int]) -> list[str]:
        """Names awards for a purpose; those that come back from a hold are new to it."""
        return [f"{ordinal}:{self.released.get(ordinal, '')}" for ordinal in ordinals]


@dataclass(frozen=True, slots=True)
class Unsettled:
    """What has its reading, and the node or the contract would not settle it now.

    awards: offer → ordinals; commands: (nanogrid, interval).
    """

    awards: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    commands: set[tuple[int, int]] = field(default_factory=set)


def settle(oracle: Oracle, interval: int) -> Unsettled:
    """Settle what has its readings of the intervals up to one: awards, then commands; anchor the readings' root."""
    unsettled = Unsettled()
    oracle.index()
    record_missed(oracle, interval)
    _announce_interrupted(oracle, interval)
    for opened in _open_offers(oracle, interval):
        readings = _readings(oracle, opened.interval)
        # What has no baseline cannot be settled, and would have the contract refuse the others with it.
        ready = [award for award in opened.awards if award.nanogrid in readings and award.index in opened.with_baseline]
        unsettled.awards[opened.offer].update(_settle_awards(oracle, opened, ready, readings))
    for command in _open_commands(oracle, interval):
        if not _settle_command(oracle, command):
            unsettled.commands.add((command.nanogrid, command.interval))
    for each in _not_anchored(oracle, interval):
        anchor_readings(oracle, each)
    oracle.index()
    return unsettled


def expire(oracle: Oracle, _: int) -> None:
    """End what has had no reading until its deadline: nothing delivered. What has one is settled first: it may have
    come after the last settlement, or while this process was away. Where that was refused, its end waits a little for
    the refusal to pass; no longer, since the payer's escrow waits with it."""
    latest = oracle.now_s() - oracle.calendar.reading_deadline_s - 1
    patient_from = latest - min(oracle.calendar.reading_deadline_s, _PATIENCE_UNITS * oracle.calendar.time_unit_s)
    unsettled = settle(oracle, latest)
    for opened in _open_offers(oracle, latest):
        due = {award.ordinal: max(opened.interval, opened.released.get(award.ordinal, 0)) for award in opened.awards}
        waiting = [each for each in unsettled.awards[opened.offer] if due.get(each, 0) > patient_from]
        _expire_awards(oracle, opened, [ordinal for ordinal, since in due.items() if since <= latest], waiting)
    for command in _open_commands(oracle, latest):
        if command.interval > patient_from and (command.nanogrid, command.interval) in unsettled.commands:
            continue
        function = oracle.contracts.settlement.functions.expireCommand(command.nanogrid, command.interval)
        _send(oracle, function, "expireCommand", command.nanogrid, command.interval)
    oracle.sender.finish_abandoned()
    oracle.index()


def _not_anchored(oracle: Oracle, interval: int) -> list[int]:
    """The interval, and earlier ones within the reading deadline that have had more readings since their last root."""
    first = interval - oracle.calendar.reading_deadline_s
    with read_scope(oracle.engine) as session:
        stored = session.execute(
            select(Reading.interval, func.count())
            .where(Reading.interval.between(first, interval))
            .group_by(Reading.interval)
            .order_by(Reading.interval)
        ).all()
        anchored: dict[int, int] = {
            row.interval: int(row.most)
            for row in session.execute(
                select(ReadingRoot.interval, func.max(ReadingRoot.count).label("most"))
                .where(ReadingRoot.interval.between(first, interval))
                .group_by(ReadingRoot.interval)
            )
        }
    return [each for each, count in stored if count > anchored.get(each, 0)]


def anchor_readings(oracle: Oracle, interval: int) -> None:
    """Anchor the root over the salted leaves of all of an interval's readings so far."""
    with read_scope(oracle.engine) as session:
        rows = session.scalars(select(Reading).where(Reading.interval == interval).order_by(Reading.nanogrid)).all()
    if not rows:
        return
    root = readings_root([reading_leaf(row.salt, _bytes32(row.digest)) for row in rows])
    function = oracle.contracts.metering.functions.anchorReadings(interval, root, len(rows))
    _send(oracle, function, "anchorReadings", interval, len(rows))


def _settle_awards(
    oracle: Oracle, opened: _Open, awards: Sequence[Award], readings: Mapping[int, Reading]
) -> list[int]:
    """Returns the ordinals that were refused."""
    settlement, offer, vector = oracle.contracts.settlement.functions, _bytes32(opened.offer), opened.baseline
    signed = {award.ordinal: _reading(opened.gateways, readings[award.nanogrid], award.ordinal) for award in awards}
    loads = [
        load_of_reading(award.ordinal, reading.signature, _is_plain(opened, award, reading))
        for award, reading in zip(awards, signed.values(), strict=True)
    ]

    def call(ordinals: Sequence[int]) -> Any:
        shown, packed = _range(opened, ordinals), pack_readings(signed[ordinal] for ordinal in ordinals)
        binding = settlement.bindingOf(offer).call()
        return settlement.settle(offer, binding, baseline_vector(vector), shown, packed)

    cut = batches(settling(len(vector)), loads)
    return [refused for ordinals in cut for refused in _send_batch(oracle, opened, "settle", call, ordinals)]


def _is_plain(opened: _Open, award: Award, reading: SettlementReading) -> bool:
    """Whether the contract books an award by its signed reading without looking further."""
    if opened.may_be_commanded or opened.side is not Side.BUY or reading.signature == ANNOUNCED:
        return False
    if award.ordinal in opened.released or award.nanogrid in opened.in_debt:
        return False
    metered = reading.reactive_energy_varh if opened.kind is Kind.REACTIVE else reading.active_energy_wh
    energy = delivered(award.quantity, opened.direction, opened.baseline[award.index], metered)
    return energy >= tolerated(award.quantity)


def _expire_awards(oracle: Oracle, opened: _Open, due: Sequence[int], unsettled: Collection[int]) -> None:
    offer = _bytes32(opened.offer)

    def call(ordinals: Sequence[int]) -> Any:
        return oracle.contracts.settlement.functions.expireAwards(offer, _range(opened, ordinals))

    for ordinals in batches_of_expiry(due, unsettled):
        _send_batch(oracle, opened, "expireAwards", call, ordinals)


def _send_batch(
    oracle: Oracle, opened: _Open, name: str, call: Callable[[Sequence[int]], Any], ordinals: Sequence[int]
) -> Sequence[int]:
    """Sends a batch, and its halves where it fails on the chain though a trial passes: it took more gas than was
    reckoned, as when its seats have fallen into debt since. Returns the ordinals that were refused."""
    try:
        return () if _send(oracle, call(ordinals), name, opened.offer, *opened.key_of(ordinals)) else ordinals
    except TransactionFailed as failure:
        log.warning("a batch has failed", call=name, about=opened.offer, awards=len(ordinals), why=failure.sentence)
        half = len(ordinals) // 2
        if not half:
            return ordinals
        parts = ordinals[:half], ordinals[half:]
        return [refused for part in parts for refused in _send_batch(oracle, opened, name, call, part)]


def _settle_command(oracle: Oracle, command: GridCommand) -> bool:
    """Returns whether nothing was refused: it is settled, or lacks what it needs."""
    kind = Product(command.product).kind
    with read_scope(oracle.engine) as session:
        reading = _first_reading(session, command.nanogrid, command.interval)
        baseline = session.get(Baseline, (portfolio_of(command.nanogrid), command.interval, int(kind)))
        replaced = _replaced(session, command, kind)
        gateways = _gateways(session, portfolio_of(command.nanogrid))
    if reading is None or baseline is None or baseline.value_of(index_of(command.nanogrid)) is None:
        return True
    function = oracle.contracts.settlement.functions.settleCommand(
        command.nanogrid,
        command.interval,
        baseline_leaf(baseline.vector, index_of(command.nanogrid)).argument(),
        _reading(gateways, reading, replaced.ordinal).argument(),
        replaced.offer,
        replaced.award,
    )
    return _send(oracle, function, "settleCommand", command.nanogrid, command.interval)


def _announce_interrupted(oracle: Oracle, last: int) -> None:
    """Announce the readings of awards that a command has interrupted: of these the contract takes no other, so that
    award and command are settled by the same one."""
    with read_scope(oracle.engine) as session:
        readings = _interrupted(session, last)
    if not readings:
        return
    calls = []
    for reading in readings:
        energies = reading.active_energy_wh, reading.reactive_energy_varh
        given = (reading.nanogrid, reading.interval, *energies, reading.sequence)
        function = oracle.contracts.metering.functions.announceReading(given, reading.signature)
        calls.append(
            (function, "announceReading", _purpose(oracle, "announceReading", reading.nanogrid, reading.interval))
        )
    try:
        oracle.sender.send_all(calls)
    except ContractRefused as refusal:
        log.warning("not announced now", why=refusal.sentence, code=refusal.code)
    oracle.index()


def _interrupted(session: Session, last: int) -> list[Reading]:
    """Of nanogrids with an award that had begun before RED, and a command, of which one has not ended; not announced
    yet, and by those who are their gateways still."""
    places = session.execute(
        select(GridCommand.nanogrid, GridCommand.interval, Nanogrid.node, Nanogrid.gateway)
        .join(Award, and_(Award.nanogrid == GridCommand.nanogrid, Award.interval == GridCommand.interval))
        .join(Nanogrid, Nanogrid.nanogrid == GridCommand.nanogrid)
        .outerjoin(
            ReadingNotice,
            and_(
                ReadingNotice.nanogrid == GridCommand.nanogrid,
                ReadingNotice.interval == GridCommand.interval,
            ),
        )
        .where(
            GridCommand.interval <= last,
            or_(GridCommand.settled_at.is_(None), Award.outcome.is_(None)),
            ReadingNotice.announced_at.is_(None),
        )
        .distinct()
        .order_by(GridCommand.interval, GridCommand.nanogrid)
    ).all()
    found = []
    for place in places:
        since = red_since(session, place.node, place.interval)
        reading = _first_reading(session, place.nanogrid, place.interval)
        if since is None or since < place.interval or reading is None or reading.gateway != place.gateway:
            continue
        found.append(reading)
    return found


def _first_reading(session: Session, nanogrid: int, interval: int) -> Reading | None:
    """The first one stored counts; a second one that differs never gets here, it is quarantined."""
    return session.scalar(
        select(Reading)
        .where(Reading.nanogrid == nanogrid, Reading.interval == interval)
        .order_by(Reading.sequence)
        .limit(1)
    )


@dataclass(frozen=True, slots=True)
class _Replaced:
    """The award that a command replaced, as the contract wants to see it: its price may be the higher one."""

    offer: bytes = bytes(32)
    award: tuple[int, bytes, list[bytes]] = (0, b"", [])
    ordinal: int = 0


def _replaced(session: Session, command: GridCommand, kind: Kind) -> _Replaced:
    award = session.scalar(
        select(Award).where(
            Award.nanogrid == command.nanogrid, Award.interval == command.interval, Award.kind == int(kind)
        )
    )
    if award is None:
        return _Replaced()
    records = session.scalars(select(Award.record).where(Award.offer == award.offer).order_by(Award.ordinal))
    shown = award_range(b"".join(records), award.ordinal, award.ordinal)
    return _Replaced(_bytes32(award.offer), shown.argument(), award.ordinal)


def _open_offers(oracle: Oracle, last: int) -> list[_Open]:
    """Offers of the intervals up to one that have awards to end."""
    with read_scope(oracle.engine) as session:
        offers = session.scalars(
            select(Offer)
            .join(Award, Award.offer == Offer.offer)
            .where(Award.interval <= last, Award.outcome.is_(None), Offer.status == int(OfferStatus.FINAL))
            .order_by(Offer.interval, Offer.offer)
            .distinct()
        ).all()
        opened = [_open(session, offer) for offer in offers]
    return [each for each in opened if each.awards]


def _open(session: Session, offer: Offer) -> _Open:
    awards = session.scalars(select(Award).where(Award.offer == offer.offer).order_by(Award.ordinal)).all()
    baseline = session.get(Baseline, (offer.portfolio, offer.interval, offer.kind))
    values = [] if baseline is None else baseline.values
    holds = session.scalars(select(Hold).where(Hold.offer == offer.offer)).all()
    held = {hold.ordinal for hold in holds if hold.decided_at is None}
    return _Open(
        offer=offer.offer,
        side=Side(offer.side),
        direction=Direction(offer.direction),
        kind=Kind(offer.kind),
        interval=offer.interval,
        may_be_commanded=red_since(session, offer.node, offer.interval) is not None,
        packed=b"".join(award.record for award in awards),
        awards=tuple(award for award in awards if award.outcome is None and award.ordinal not in held),
        baseline=() if baseline is None else tuple(baseline.vector),
        with_baseline=frozenset(index for index, value in enumerate(values) if value is not None),
        gateways=_gateways(session, offer.portfolio),
        released={hold.ordinal: hold.decided_at for hold in holds if hold.decided_at is not None},
        in_debt=_in_debt(session, offer.portfolio),
    )


def _open_commands(oracle: Oracle, last: int) -> Sequence[GridCommand]:
    with read_scope(oracle.engine) as session:
        return session.scalars(
            select(GridCommand)
            .where(GridCommand.interval <= last, GridCommand.settled_at.is_(None))
            .order_by(GridCommand.interval, GridCommand.nanogrid)
        ).all()


def _readings(oracle: Oracle, interval: int) -> dict[int, Reading]:
    with read_scope(oracle.engine) as session:
        rows = session.scalars(select(Reading).where(Reading.interval == interval)).all()
    by_nanogrid: dict[int, list[Reading]] = defaultdict(list)
    for row in rows:
        by_nanogrid[row.nanogrid].append(row)
    # The first one stored counts; a second one that differs never gets here, it is quarantined.
    return {nanogrid: min(found, key=lambda row: row.sequence) for nanogrid, found in by_nanogrid.items()}


def _range(opened: _Open, ordinals: Sequence[int]) -> tuple[int, bytes, list[bytes]]:
    """The leaves from the first to the last of some awards, in ascending ordinals."""
    return award_range(opened.packed, ordinals[0], ordinals[-1]).argument()


def _reading(gateways: Mapping[int, str | None], reading: Reading, ordinal: int) -> SettlementReading:
    """With its signature, as long as its gateway is the seat's; else the reading counts if it was announced."""
    signature = reading.signature if gateways.get(reading.nanogrid) == reading.gateway else ANNOUNCED
    return SettlementReading(
        ordinal, reading.active_energy_wh, reading.reactive_energy_varh, reading.sequence, signature
    )


def _in_debt(session: Session, portfolio: int) -> frozenset[int]:
    rows = session.scalars(select(Nanogrid.nanogrid).where(Nanogrid.portfolio == portfolio, Nanogrid.debt_ueur > 0))
    return frozenset(rows)


def _gateways(session: Session, portfolio: int) -> dict[int, str | None]:
    rows = session.execute(select(Nanogrid.nanogrid, Nanogrid.gateway).where(Nanogrid.portfolio == portfolio))
    return {row.nanogrid: row.gateway for row in rows}


def _send(oracle: Oracle, function: Any, name: str, *about: object) -> bool:
    """Returns whether it was taken, now or before."""
    try:
        oracle.sender.send(function, name, _purpose(oracle, name, *about))
    except ContractRefused as refusal:
        log.warning("not settled now", call=name, about=str(about[0]), why=refusal.sentence, code=refusal.code)
        return False
    return True


def _purpose(oracle: Oracle, name: str, *about: object) -> str:
    """Once in each reading deadline's length: what the contract refused for a reason that passes ends later."""
    return f"{name}:{purpose_key(*about, oracle.now_s() // oracle.calendar.reading_deadline_s)}"


def _bytes32(value: str) -> bytes:
    return bytes.fromhex(value.removeprefix("0x"))
