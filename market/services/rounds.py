"""What the market does for each offer, at the moments of the offer's own gate closure.

Which step is due follows from the time and from what the chain says of the offer, so that a round may come at any
time and again: after a restart it does what was missed, and nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from market.domain.calendar import Calendar, Moment
from market.domain.states import OfferStatus
from market.services import bids, clearing
from market.services.access import forget_ended
from market.services.market import Market
from market.services.notices import forget_old
from market.store.projections import Offer

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Step:
    """An action for every offer of a status, from one moment on, and to another one where it is vain after that."""

    action: Callable[[Market, str], None]
    statuses: tuple[OfferStatus, ...]
    start: Moment
    end: Moment | None = None


_STEPS: Final = (
    _Step(bids.post, (OfferStatus.OPEN,), Moment.BIDS_POSTED, Moment.GATE_CLOSURE),
    _Step(clearing.clear, (OfferStatus.OPEN,), Moment.CLEARED, Moment.CLEARING_DEADLINE),
    _Step(clearing.clear_again, (OfferStatus.CLEARED,), Moment.CLEARED_AGAIN, Moment.CLEARING_AGAIN_DEADLINE),
    _Step(clearing.finalise, (OfferStatus.CLEARED,), Moment.FINALISED, Moment.DELIVERY_STARTS),
    _Step(clearing.expire, (OfferStatus.OPEN, OfferStatus.CLEARED), Moment.DELIVERY_STARTS),
)


def run_due(market: Market) -> None:
    """Do what is due now for every offer, in the order of the steps."""
    market.index()
    now_s = market.now_s()
    failed: list[Exception] = []
    for step in _STEPS:
        with market.reading() as session:
            offers = _offers(session, step.statuses)
        for offer in (each for each in offers if _is_due(market.calendar, step, each, now_s)):
            try:
                step.action(market, offer.offer)
            except Exception as problem:
                # One offer's trouble stops no other; the round fails in the end, and comes again.
                log.exception("a step failed", step=step.action.__name__, offer=offer.offer)
                failed.append(problem)
    bids.end_promises(market)
    clearing.reclaim(market)
    market.relayer.finish_abandoned()
    with market.sessions() as session:
        forget_old(session, now_s)
        forget_ended(session, now_s)
    if failed:
        raise failed[0]


def next_moment(market: Market, after_s: int) -> int:
    """The first moment after a time [epoch s] at which a step of an offer begins, or may begin for one that is not
    known yet: offers can be opened at any time, but for a gate that closes half a unit later at the earliest."""
    calendar = market.calendar
    known = [
        calendar.next_moment(after_s, step.start, internal=internal) for step in _STEPS for internal in (False, True)
    ]
    with market.reading() as session:
        offers = _offers(session, (OfferStatus.OPEN, OfferStatus.CLEARED))
        own = [_at(calendar, step.start, offer) for offer in offers for step in _STEPS]
    return min(moment for moment in (*known, *own) if moment > after_s)


def _offers(session: Session, statuses: tuple[OfferStatus, ...]) -> list[Offer]:
    return list(
        session.scalars(select(Offer).where(Offer.status.in_(map(int, statuses))).order_by(Offer.interval, Offer.offer))
    )


def _at(calendar: Calendar, moment: Moment, offer: Offer) -> int:
    if moment is Moment.DELIVERY_STARTS:
        return offer.interval
    return calendar.for_gate(moment, offer.gate_closure, internal=offer.request is None)


def _is_due(calendar: Calendar, step: _Step, offer: Offer, now_s: int) -> bool:
    return _at(calendar, step.start, offer) <= now_s and (step.end is None or now_s <= _at(calendar, step.end, offer))
