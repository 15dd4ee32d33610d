"""Settlement: signed readings against anchored baselines, handed to the contract, which checks and pays.

Repeatable: an award that is settled is skipped by the contract, and each batch is sent once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from market.domain.errors import ContractRefused
from market.domain.products import Product
from market.domain.states import OfferStatus
from market.domain.trees import award_leaf, baseline_leaf, baseline_vector, reading_leaf, readings_root
from market.domain.units import index_of, portfolio_of
from market.services.market import purpose_key
from market.store.books import ReadingRoot
from market.store.database import read_scope
from market.store.facts import Baseline, Reading
from market.store.projections import Award, GridCommand, Offer
from oracle.context import Oracle

log = structlog.get_logger(__name__)

BATCH: Final = 200
_LEAF: Final = 8
_NO_OFFER: Final = bytes(32)
_NO_LEAF: Final[tuple[int, bytes, list[bytes]]] = (0, b"", [])


@dataclass(frozen=True, slots=True)
class _Open:
    """An offer's awards that are not settled, all its awards as packed, and its baseline values."""

    offer: str
    interval: int
    packed: bytes
    awards: tuple[Award, ...]
    baseline: tuple[int, ...]


def settle(oracle: Oracle, interval: int) -> None:
    """Settle what has its readings of the intervals up to one: awards, then commands; anchor the readings' root."""
    oracle.index()
    first = oracle.calendar.interval_of(interval - oracle.calendar.reading_deadline_s)
    for opened in _open_offers(oracle, first, interval):
        readings = _readings(oracle, opened.interval)
        ready = [award for award in opened.awards if award.nanogrid in readings]
        for start in range(0, len(ready), BATCH):
            _settle_batch(oracle, opened, ready[start : start + BATCH], readings)
    for command in _open_commands(oracle, first, interval):
        _settle_command(oracle, command)
    anchor_readings(oracle, interval)
    oracle.index()


def expire(oracle: Oracle, interval: int) -> None:
    """End what has had no reading until the deadline: nothing delivered."""
    oracle.index()
    for opened in _open_offers(oracle, interval, interval):
        leaves = [_leaf(opened, number) for number in sorted({award.ordinal // _LEAF for award in opened.awards})]
        function = oracle.contracts.settlement.functions.expireAwards(_bytes32(opened.offer), leaves)
        _send(oracle, function, "expireAwards", opened.offer, *(award.ordinal for award in opened.awards))
    for command in _open_commands(oracle, interval, interval):
        function = oracle.contracts.settlement.functions.expireCommand(command.nanogrid, command.interval)
        _send(oracle, function, "expireCommand", command.nanogrid, command.interval)
    oracle.index()


def anchor_readings(oracle: Oracle, interval: int) -> None:
    """Anchor the root over the salted leaves of an interval's readings, once."""
    with read_scope(oracle.engine) as session:
        if session.scalar(select(func.count()).select_from(ReadingRoot).where(ReadingRoot.interval == interval)):
            return
        rows = session.scalars(select(Reading).where(Reading.interval == interval).order_by(Reading.nanogrid)).all()
    if not rows:
        return
    root = readings_root([reading_leaf(row.salt, _bytes32(row.digest)) for row in rows])
    function = oracle.contracts.metering.functions.anchorReadings(interval, root, len(rows))
    _send(oracle, function, "anchorReadings", interval)


def _settle_batch(oracle: Oracle, opened: _Open, awards: Sequence[Award], readings: Mapping[int, Reading]) -> None:
    numbers = sorted({award.ordinal // _LEAF for award in awards})
    entries = [
        _entry(readings[award.nanogrid], numbers.index(award.ordinal // _LEAF), award.ordinal % _LEAF)
        for award in awards
    ]
    function = oracle.contracts.settlement.functions.settle(
        _bytes32(opened.offer),
        baseline_vector(opened.baseline),
        [_leaf(opened, number) for number in numbers],
        entries,
    )
    _send(oracle, function, "settle", opened.offer, *(award.ordinal for award in awards))


def _settle_command(oracle: Oracle, command: GridCommand) -> None:
    with read_scope(oracle.engine) as session:
        reading = session.scalar(
            select(Reading).where(Reading.nanogrid == command.nanogrid, Reading.interval == command.interval)
        )
        baseline = session.get(
            Baseline, (portfolio_of(command.nanogrid), command.interval, int(Product(command.product).kind))
        )
    if reading is None or baseline is None:
        return
    leaf = baseline_leaf(baseline.values, index_of(command.nanogrid))
    function = oracle.contracts.settlement.functions.settleCommand(
        command.nanogrid,
        command.interval,
        (leaf.leaf_index, leaf.values, list(leaf.proof)),
        _entry(reading, 0, 0),
        _NO_OFFER,
        _NO_LEAF,
    )
    _send(oracle, function, "settleCommand", command.nanogrid, command.interval)


def _open_offers(oracle: Oracle, first: int, last: int) -> list[_Open]:
    with read_scope(oracle.engine) as session:
        offers = session.scalars(
            select(Offer)
            .where(Offer.interval.between(first, last), Offer.status == int(OfferStatus.FINAL))
            .order_by(Offer.interval, Offer.offer)
        ).all()
        opened = [_open(session, offer) for offer in offers]
    return [each for each in opened if each.awards]


def _open(session: Session, offer: Offer) -> _Open:
    awards = session.scalars(select(Award).where(Award.offer == offer.offer).order_by(Award.ordinal)).all()
    baseline = session.get_one(Baseline, (offer.portfolio, offer.interval, offer.kind))
    return _Open(
        offer=offer.offer,
        interval=offer.interval,
        packed=b"".join(award.record for award in awards),
        awards=tuple(award for award in awards if award.outcome is None),
        baseline=tuple(baseline.values),
    )


def _open_commands(oracle: Oracle, first: int, last: int) -> Sequence[GridCommand]:
    with read_scope(oracle.engine) as session:
        return session.scalars(
            select(GridCommand)
            .where(GridCommand.interval.between(first, last), GridCommand.settled_at.is_(None))
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


def _leaf(opened: _Open, number: int) -> tuple[int, bytes, list[bytes]]:
    leaf = award_leaf(opened.packed, number)
    return leaf.leaf_index, leaf.awards, list(leaf.proof)


def _entry(reading: Reading, leaf: int, slot: int) -> tuple[Any, ...]:
    return (
        leaf,
        slot,
        reading.active_energy_wh,
        reading.reactive_energy_varh,
        reading.sequence,
        reading.signature[:32],
        reading.signature[32:],
    )


def _send(oracle: Oracle, function: Any, name: str, *about: object) -> None:
    try:
        oracle.sender.send(function, name, f"{name}:{purpose_key(*about)}")
    except ContractRefused as refusal:
        log.warning("not settled now", call=name, about=str(about[0]), why=refusal.sentence, code=refusal.code)


def _bytes32(value: str) -> bytes:
    return bytes.fromhex(value.removeprefix("0x"))
