"""A node's day in one document, for the public page: only what is published anyway, without owners."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from market.domain.intervals import day_of
from market.domain.products import SignalKind
from market.domain.settlement import Outcome
from market.domain.states import OfferStatus
from market.domain.traffic_light import Cause
from market.services.backlog import standstill
from market.services.clearing import auction_of
from market.services.decisions import document_of
from market.services.market import Market
from market.services.offers import merit_order_document
from market.services.signals import deciding_signal, last_assessed, signals_of
from market.store.projections import Award, GridSignal, Offer

LAST_TRADES: Final = 12


def overview(market: Market, session: Session, node: int) -> dict[str, Any]:
    """The node's local day: light, loading, marginal prices, latest auction, last trades.

    It is the day of the present interval, or of the last one that was assessed: a day that is over stays to be seen
    until the next one begins.
    """
    now_s = market.now_s()
    present = market.calendar.interval_of(now_s)
    assessed = last_assessed(session, node)
    interval = present if assessed is None else min(present, assessed)
    day = day_of(interval, market.time_zone)
    first, end = day.start_s, day.end_s
    cleared = session.scalars(
        select(Offer)
        .where(
            Offer.node == node,
            Offer.interval.between(first, end - 1),
            Offer.status.in_([int(OfferStatus.CLEARED), int(OfferStatus.FINAL)]),
        )
        .order_by(Offer.interval.desc())
    ).all()
    prices = {offer.interval: auction_of(session, offer).curve().marginal_price_ueur_kwh for offer in cleared}
    return {
        "node": node,
        "now": now_s,
        "time_unit_s": market.calendar.time_unit_s,
        "time_zone": market.time_zone,
        "day": {"first": first, "end": end},
        "standstill_since": standstill(session, now_s),
        "light": _light(session, node, interval),
        "series": _series(session, node, first, end, prices),
        "auction": merit_order_document(session, cleared[0]) if cleared else None,
        "trades": _trades(session, node),
    }


def _light(session: Session, node: int, interval: int) -> dict[str, Any] | None:
    signal = deciding_signal(session, node, interval)
    if signal is None:
        return None
    return {
        "interval": interval,
        "phase": signal.phase,
        "kind": signal.kind,
        "reason": document_of(session, signal.reason),
    }


def _series(session: Session, node: int, first: int, end: int, prices: dict[int, int | None]) -> list[dict[str, Any]]:
    history: dict[int, dict[int, list[GridSignal]]] = defaultdict(lambda: defaultdict(list))
    for signal in session.scalars(signals_of(node, first, end - 1)):
        history[signal.interval][signal.kind].append(signal)
    return [
        {
            "interval": interval,
            **_forecast(session, by_kind[SignalKind.FORECAST]),
            **_actual(session, by_kind[SignalKind.ACTUAL]),
            "marginal_price_ueur_kwh": prices.get(interval),
        }
        for interval, by_kind in history.items()
    ]


def _forecast(session: Session, signals: Sequence[GridSignal]) -> dict[str, Any]:
    """The light by forecast, and the loading that was forecast without dispatch: a forecast that is made RED because
    the market did not solve it says what is left with the dispatch."""
    reasons = [document_of(session, signal.reason) or {} for signal in signals]
    without_dispatch = [
        reason["loading_percent"]
        for reason in reasons
        if "loading_percent" in reason and reason.get("cause") != Cause.STILL_BROKEN_AFTER_MARKET
    ]
    return {
        "phase": signals[-1].phase if signals else None,
        "forecast_loading_percent": without_dispatch[-1] if without_dispatch else None,
    }


def _actual(session: Session, signals: Sequence[GridSignal]) -> dict[str, Any]:
    if not signals:
        return {"actual_phase": None, "actual_loading_percent": None}
    reason = document_of(session, signals[-1].reason) or {}
    return {"actual_phase": signals[-1].phase, "actual_loading_percent": reason.get("loading_percent")}


def _trades(session: Session, node: int) -> list[dict[str, Any]]:
    awards = session.scalars(
        select(Award)
        .join(Offer, Offer.offer == Award.offer)
        .where(Offer.node == node, Award.outcome.is_not(None))
        .order_by(Award.settled_at.desc(), Award.offer, Award.ordinal)
        .limit(LAST_TRADES)
    )
    return [
        {
            "interval": award.interval,
            "index": award.index,
            "price_ueur_kwh": award.price_ueur_kwh,
            "quantity": award.quantity,
            "delivered": award.delivered,
            "paid_ueur": award.paid_ueur,
            "outcome": None if award.outcome is None else Outcome(award.outcome).name,
        }
        for award in awards
    ]
