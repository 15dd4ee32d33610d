"""Baselines: nominated by a published method, written down, anchored on the chain before any request, told to gateways.

Method NOMINATED: the forecast of each connection point (oracle.forecast), unchanged. Anyone with the forecast can
recompute it; the anchored root fixes it before the DSO says what it needs. A seat that the forecast does not know has
no baseline, and the contracts settle no reading of it: against 0 whatever it drew would count as delivered.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from market import checkpoints
from market.domain.errors import ContractRefused
from market.domain.products import Kind
from market.domain.trees import baseline_root
from market.store.database import read_scope, session_scope
from market.store.facts import Baseline
from market.store.projections import Nanogrid, Portfolio
from oracle.checkpoints import OutboxPoint
from oracle.context import Oracle
from oracle.forecast import NanogridForecast
from oracle.messages import Channel, Plan, PlanEntry, topic_for
from oracle.outgoing import Outgoing

log = structlog.get_logger(__name__)

_PLANNED_INTERVALS = 8


def nominate(oracle: Oracle, forecast: NanogridForecast, interval: int) -> list[Outgoing]:
    """Nominate and anchor the baselines of an interval; what it returns tells the gateways. Repeatable."""
    if not forecast.covers(interval):
        return []
    oracle.index()
    with session_scope(oracle.engine) as session:
        rows = [
            row
            for portfolio in _portfolios(session)
            for row in _nominated(session, oracle, forecast, portfolio, interval)
        ]
    if not rows:
        return []
    checkpoints.passed(OutboxPoint.NOMINATED, str(interval))
    anchors = [
        (row.portfolio, interval, row.kind, len(row.values), bytes.fromhex(row.root.removeprefix("0x"))) for row in rows
    ]
    function = oracle.contracts.metering.functions.anchorBaselines(anchors)
    try:
        oracle.sender.send(function, "anchorBaselines", f"baselines:{interval}")
    except ContractRefused as refusal:
        log.warning("baselines not anchored", interval=interval, why=refusal.sentence)
        return []
    checkpoints.passed(OutboxPoint.ANCHORED, str(interval))
    oracle.index()
    with read_scope(oracle.engine) as session:
        return plans(session, oracle, interval)


def plans(session: Session, oracle: Oracle, interval: int) -> list[Outgoing]:
    """Each gateway's retained plan: its nominated baselines of the last intervals up to one, or up to the last that is
    nominated: what is nominated late does not take the place of what is there since."""
    span_s = _PLANNED_INTERVALS * oracle.calendar.time_unit_s
    newest = session.scalar(select(func.max(Baseline.interval)).where(Baseline.interval <= interval + span_s))
    until = max(interval, newest or interval)
    first = until - span_s
    rows = session.scalars(
        select(Baseline).where(Baseline.interval.between(first, until)).order_by(Baseline.interval)
    ).all()
    outgoing = []
    for seat in session.scalars(select(Nanogrid).where(Nanogrid.gateway.is_not(None)).order_by(Nanogrid.nanogrid)):
        entries = _entries(seat, rows)
        if entries and seat.gateway is not None:
            gateway = seat.gateway.lower()
            plan = Plan.sealed(
                oracle.key,
                oracle.settlement,
                gateway=gateway,
                nanogrid=seat.nanogrid,
                issued_at=oracle.now_s(),
                entries=entries,
            )
            outgoing.append(Outgoing(topic_for(gateway, Channel.PLAN), plan.payload(), retain=True, order=plan.order))
    return outgoing


def _entries(seat: Nanogrid, rows: Sequence[Baseline]) -> tuple[PlanEntry, ...]:
    values: dict[int, dict[int, int]] = {}
    for row in rows:
        value = row.value_of(seat.index) if row.portfolio == seat.portfolio else None
        if value is not None:
            values.setdefault(row.interval, {})[row.kind] = value
    return tuple(
        PlanEntry(interval=interval, baseline_wh=kinds.get(Kind.ACTIVE, 0), baseline_varh=kinds.get(Kind.REACTIVE, 0))
        for interval, kinds in sorted(values.items())
    )


def _portfolios(session: Session) -> Sequence[Portfolio]:
    return session.scalars(select(Portfolio).where(Portfolio.seat_count > 0).order_by(Portfolio.portfolio)).all()


def _nominated(
    session: Session, oracle: Oracle, forecast: NanogridForecast, portfolio: Portfolio, interval: int
) -> list[Baseline]:
    """The rows of a portfolio for both kinds: those that are there, or new ones."""
    rows = []
    for kind in Kind:
        row = session.get(Baseline, (portfolio.portfolio, interval, int(kind)))
        if row is None:
            reactive = kind is Kind.REACTIVE
            values = forecast.energies(portfolio.portfolio, interval, portfolio.seat_count, reactive=reactive)
            if not values:
                log.warning("no forecast, so no baselines", portfolio=portfolio.portfolio, kind=kind.name)
                continue
            row = Baseline(
                portfolio=portfolio.portfolio,
                interval=interval,
                kind=int(kind),
                values=values,
                method="NOMINATED",
                nominated_at=oracle.now_s(),
                anchor_transaction=None,
            )
            row.root = "0x" + baseline_root(row.vector).hex()
            session.add(row)
        rows.append(row)
    return rows
