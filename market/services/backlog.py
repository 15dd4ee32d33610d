"""What should have been done by now and is not, for whoever watches the market: read from the store, changing nothing.

Bounded by what the market is made of: one figure for each node, step, kind of escrow and sending key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from market.domain.calendar import Calendar, Moment
from market.domain.states import OfferStatus
from market.services.signals import is_red
from market.store.books import Hold
from market.store.facts import Reading
from market.store.projections import Award, FlexibilityRequest, GridCommand, Nanogrid, Offer, RequestInterval
from market.store.work import Transaction, TransactionState

LOOKS_BACK_S: Final = 30 * 86_400
"""Escrows of older intervals are not looked at any more [s]."""
STANDSTILL_S: Final = 30
"""A chain that works takes a transaction in within a few seconds [s]."""
_ON_THEIR_WAY: Final = (TransactionState.PREPARED, TransactionState.SENT)
_UEUR_PER_UNIT: Final = 1000
"""Quantity x price / 1000 is money in micro-euro."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many wait, and for how long the first of them has [s]."""

    count: int = 0
    longest_s: int = 0

    @classmethod
    def since(cls, moments: Iterable[int], now_s: int) -> Waiting:
        """What waits since some moments [epoch s]; those that are to come do not count."""
        over = [now_s - moment for moment in moments if moment < now_s]
        return cls(len(over), max(over, default=0))


@dataclass(frozen=True, slots=True)
class Metering:
    """Gateways that a node should have heard of for the last interval that was settled, and readings that it has."""

    gateways: int
    readings: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """metering: by node; offers: by the step that is overdue; escrows: by what the money is reserved for;
    transactions: by sender."""

    metering: Mapping[int, Metering]
    offers: Mapping[str, Waiting]
    escrows: Mapping[str, Waiting]
    transactions: Mapping[str, Waiting]


def backlog_of(session: Session, calendar: Calendar, now_s: int, own_sender: str) -> Backlog:
    """What waits now; `own_sender` has its figure also when nothing of it does."""
    unfinished = list(
        session.scalars(select(Offer).where(Offer.status.in_([int(OfferStatus.OPEN), int(OfferStatus.CLEARED)])))
    )
    return Backlog(
        metering=_metering(session, calendar, now_s),
        offers=_offers(session, unfinished, calendar, now_s),
        escrows=_escrows(session, unfinished, calendar, now_s),
        transactions={own_sender: Waiting()} | _transactions(session, now_s),
    )


def last_settled_interval(calendar: Calendar, now_s: int) -> int:
    """The last interval whose readings should be there: its first settlement has come."""
    return calendar.interval_of(now_s - calendar.at(Moment.SETTLED, 0))


def _metering(session: Session, calendar: Calendar, now_s: int) -> dict[int, Metering]:
    interval = last_settled_interval(calendar, now_s)
    seated = (
        Nanogrid.gateway.is_not(None),
        Nanogrid.active_from <= interval,
        func.coalesce(Nanogrid.active_until, interval + 1) > interval,
    )
    gateways = select(Nanogrid.node, func.count()).where(*seated).group_by(Nanogrid.node)
    metered = (
        select(Nanogrid.node, func.count(Reading.nanogrid.distinct()))
        .join(Reading, Reading.nanogrid == Nanogrid.nanogrid)
        .where(Reading.interval == interval, *seated)
        .group_by(Nanogrid.node)
    )
    readings: dict[int, int] = {row[0]: row[1] for row in session.execute(metered)}
    return {row[0]: Metering(row[1], readings.get(row[0], 0)) for row in session.execute(gateways)}


def _offers(session: Session, unfinished: list[Offer], calendar: Calendar, now_s: int) -> dict[str, Waiting]:
    """By step: offers whose moment has passed. At RED nothing goes on, and nobody is to be called."""
    steps = {"clear": (OfferStatus.OPEN, Moment.CLEARED), "finalise": (OfferStatus.CLEARED, Moment.FINALISED)}
    due: dict[str, list[int]] = {step: [] for step in steps}
    for offer in unfinished:
        for step, (status, moment) in steps.items():
            at_s = calendar.for_gate(moment, offer.gate_closure, internal=offer.request is None)
            if offer.status == status and at_s < now_s and not is_red(session, offer):
                due[step].append(at_s)
    return {step: Waiting.since(moments, now_s) for step, moments in due.items()}


def _escrows(session: Session, unfinished: list[Offer], calendar: Calendar, now_s: int) -> dict[str, Waiting]:
    """By kind: money that should have gone to somebody or back by now."""
    first, deadline = now_s - LOOKS_BACK_S, calendar.reading_deadline(0)
    left = RequestInterval.quantity - RequestInterval.accepted
    back = func.coalesce(RequestInterval.reclaimed_ueur, 0)
    requests = session.scalars(
        select(RequestInterval.interval)
        .join(FlexibilityRequest, FlexibilityRequest.request == RequestInterval.request)
        .where(
            RequestInterval.interval.between(first, now_s),
            _UEUR_PER_UNIT * (back + 1) <= left * FlexibilityRequest.price_ueur_kwh,
        )
    )
    held = select(Hold.offer).where(Hold.offer == Award.offer, Hold.ordinal == Award.ordinal, Hold.decided_at.is_(None))
    awards = session.scalars(
        select(Award.interval).where(
            Award.interval.between(first, now_s - deadline), Award.outcome.is_(None), ~held.exists()
        )
    )
    commands = session.scalars(
        select(GridCommand.interval).where(
            GridCommand.interval.between(first, now_s - deadline), GridCommand.settled_at.is_(None)
        )
    )
    holds = session.scalars(select(Hold.decide_by).where(Hold.decided_at.is_(None)))
    return {
        "request": Waiting.since(requests, now_s),
        "offer": Waiting.since((offer.interval for offer in unfinished), now_s),
        "award": Waiting.since((interval + deadline for interval in awards), now_s),
        "command": Waiting.since((interval + deadline for interval in commands), now_s),
        "hold": Waiting.since(holds, now_s),
    }


def standstill(session: Session, now_s: int) -> int | None:
    """Since when the chain takes nothing in [epoch s]: a transaction has waited for it too long; None where it works.

    On the permissioned network more than a quarter of the validators' weight is down, or they refuse the sender.
    """
    since = session.scalar(select(func.min(Transaction.created_at)).where(Transaction.state.in_(_ON_THEIR_WAY)))
    return since if since is not None and now_s - since >= STANDSTILL_S else None


def _transactions(session: Session, now_s: int) -> dict[str, Waiting]:
    rows = session.execute(
        select(Transaction.sender, func.count(), func.min(Transaction.created_at))
        .where(Transaction.state.in_(_ON_THEIR_WAY))
        .group_by(Transaction.sender)
    )
    return {sender: Waiting(count, max(0, now_s - oldest)) for sender, count, oldest in rows}
