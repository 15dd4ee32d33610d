"""A node's day in one document, for the public page: only what is published anyway, without owners."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from market.domain.intervals import day_of
from market.domain.products import SignalKind
from market.domain.settlement import Outcome
from market.domain.states import OfferStatus
from market.services.clearing import auction_of
from market.services.decisions import document_of
from market.services.market import Market
from market.services.offers import merit_order_document
from market.services.signals import phase_of, signals_of
from market.store.projections import Award, Offer

LAST_TRADES: Final = 12


def overview(market: Market, session: Session, node: int) -> dict[str, Any]:
    """The node's local day: light, loading, marginal prices, latest auction, last trades."""
    now_s = market.now_s()
    interval = market.calendar.interval_of(now_s)
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
        "light": _light(session, node, interval),
        "series": _series(session, node, first, end, prices),
        "auction": merit_order_document(session, cleared[0]) if cleared else None,
        "trades": _trades(session, node),
    }


def _light(session: Session, node: int, interval: int) -> dict[str, Any] | None:
    signals = session.scalars(signals_of(node, interval, interval, SignalKind.FORECAST)).all()
    if not signals:
        return None
    phase = phase_of(session, node, interval)
    return {"interval": interval, "phase": int(phase), "reason": document_of(session, signals[-1].reason)}


def _series(session: Session, node: int, first: int, end: int, prices: dict[int, int | None]) -> list[dict[str, Any]]:
    rows: dict[int, dict[str, Any]] = {}
    for signal in session.scalars(signals_of(node, first, end - 1)):
        row = rows.setdefault(
            signal.interval,
            {
                "interval": signal.interval,
                "phase": 0,
                "forecast_loading_percent": None,
                "actual_loading_percent": None,
                "marginal_price_ueur_kwh": prices.get(signal.interval),
            },
        )
        reason = document_of(session, signal.reason) or {}
        if signal.kind == SignalKind.FORECAST:
            row["phase"] = max(row["phase"], signal.phase)
            if row["forecast_loading_percent"] is None:
                row["forecast_loading_percent"] = reason.get("loading_percent")
        else:
            row["actual_loading_percent"] = reason.get("loading_percent")
    return [rows[interval] for interval in sorted(rows)]


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
