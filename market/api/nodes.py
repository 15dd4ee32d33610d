"""Nodes: who decides there, the traffic light, forecasts and measurements of the grid's operator."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from market.api.bodies import Number, SignedMessageWithReason
from market.api.context import Caller, CurrentMarket
from market.api.examples import signed_example
from market.api.paging import Page
from market.domain.messages import Signal
from market.domain.products import Phase, SignalKind
from market.services import signals
from market.services.market import Market
from market.services.overview import overview
from market.services.roles import node_of, portfolios_seen, require_oversight
from market.store.facts import Baseline, Reading
from market.store.projections import Nanogrid, Node, Pause, Portfolio

router = APIRouter(tags=["nodes"])

Interval = Annotated[Number, Query(description="Start of an interval [epoch s]")]

_SIGNAL = Signal(1, 1_463_738_400, Phase.YELLOW, SignalKind.FORECAST, bytes.fromhex("ab" * 32), 1)
_REASON = {"element": "transformer", "loading_percent": 118.4, "text": "Transformer at 118 %"}


@router.get("/nodes")
def list_nodes(market: CurrentMarket, page: Page) -> dict[str, Any]:
    """All nodes with their portfolios, present phase and paused products (0: all)."""
    with market.reading() as session:
        rows = session.scalars(select(Node).order_by(Node.node)).all()
        return page.page([_node_document(market, session, row) for row in rows])


@router.get("/nodes/{node}")
def show_node(market: CurrentMarket, node: Number) -> dict[str, Any]:
    with market.reading() as session:
        return _node_document(market, session, node_of(session, node))


@router.get("/nodes/{node}/overview")
def show_overview(market: CurrentMarket, node: Number) -> dict[str, Any]:
    """The node's day for the public page."""
    with market.reading() as session:
        node_of(session, node)
        return overview(market, session, node)


@router.get("/nodes/{node}/signals")
def list_signals(
    market: CurrentMarket,
    page: Page,
    node: Number,
    first: Interval,
    last: Interval,
    kind: Annotated[SignalKind | None, Query(description="0 forecast, 1 actual")] = None,
) -> dict[str, Any]:
    """History of the light: every signal with its published reason; the highest sequence of a kind counts."""
    with market.reading() as session:
        query = signals.signals_of(node_of(session, node).node, first, last, kind)
        return page.select(session, query, lambda rows: [signals.signal_document(session, row) for (row,) in rows])


@router.post("/nodes/{node}/signals", status_code=201)
def set_signal(
    market: CurrentMarket,
    caller: Caller,
    node: Number,
    body: Annotated[SignedMessageWithReason, signed_example(_SIGNAL, reason=_REASON)],
) -> dict[str, Any]:
    """The node's DSO sets the light of an interval."""
    return signals.set_signal(market, caller, node, body.message, body.signature, body.reason).document()


@router.get("/nodes/{node}/baselines")
def list_baselines(
    market: CurrentMarket, page: Page, caller: Caller, node: Number, interval: Interval, kind: Number = 0
) -> dict[str, Any]:
    """Nominated baselines of the node's nanogrids, for its DSO, its aggregators and auditors."""
    with market.reading() as session:
        rows = session.scalars(
            select(Baseline)
            .where(
                Baseline.portfolio.in_(portfolios_seen(session, caller, node)),
                Baseline.interval == interval,
                Baseline.kind == kind,
            )
            .order_by(Baseline.portfolio)
        )
        items = (
            {"nanogrid": row.portfolio << 16 | index, "portfolio": row.portfolio, "index": index, "baseline_wh": value}
            for row in rows
            for index, value in enumerate(row.values)
            if value is not None
        )
        return {"interval": interval, "kind": kind, **page.page(items)}


@router.get("/nodes/{node}/readings")
def list_readings(
    market: CurrentMarket, page: Page, caller: Caller, node: Number, interval: Interval
) -> dict[str, Any]:
    """What the node's nanogrids measured in an interval, for its DSO and auditors."""
    with market.reading() as session:
        require_oversight(session, caller, node)
        query = (
            select(Reading)
            .join(Nanogrid, Nanogrid.nanogrid == Reading.nanogrid)
            .where(Nanogrid.node == node, Reading.interval == interval)
            .order_by(Reading.nanogrid)
        )
        return page.select(session, query, lambda rows: [_reading_document(row) for (row,) in rows])


@router.get("/nodes/{node}/nanogrids")
def list_nanogrids(market: CurrentMarket, page: Page, caller: Caller, node: Number) -> dict[str, Any]:
    """The node's nanogrids, for its DSO and auditors."""
    with market.reading() as session:
        require_oversight(session, caller, node)
        query = select(Nanogrid).where(Nanogrid.node == node).order_by(Nanogrid.nanogrid)
        return page.select(session, query, lambda rows: [_nanogrid_document(row) for (row,) in rows])


def _reading_document(row: Reading) -> dict[str, Any]:
    return {
        "nanogrid": row.nanogrid,
        "interval": row.interval,
        "active_energy_wh": row.active_energy_wh,
        "reactive_energy_varh": row.reactive_energy_varh,
    }


def _nanogrid_document(row: Nanogrid) -> dict[str, Any]:
    return {
        "nanogrid": row.nanogrid,
        "portfolio": row.portfolio,
        "index": row.index,
        "owner": row.owner,
        "rated_power_w": row.rated_power_w,
        "emergency_price_ueur_kwh": row.emergency_price_ueur_kwh,
        "suspended": row.suspended,
    }


def _node_document(market: Market, session: Session, row: Node) -> dict[str, Any]:
    portfolios = session.scalars(select(Portfolio).where(Portfolio.node == row.node).order_by(Portfolio.portfolio))
    interval = market.calendar.interval_of(market.now_s())
    return {
        "node": row.node,
        "name": row.name,
        "dso": row.dso,
        "phase": int(signals.phase_of(session, row.node, interval)),
        "paused": list(session.scalars(_paused_products(row.node))),
        "portfolios": [
            {
                "portfolio": portfolio.portfolio,
                "name": portfolio.name,
                "aggregator": portfolio.aggregator,
                "seat_count": portfolio.seat_count,
                "rated_power_w": _rated_power_w(session, portfolio.portfolio),
            }
            for portfolio in portfolios
        ],
    }


def _paused_products(node: int) -> Select[int]:
    """Codes of the products that are paused at a node; 0 stands for all."""
    return select(Pause.product).where(Pause.node == node, Pause.paused).order_by(Pause.product)


def _rated_power_w(session: Session, portfolio: int) -> int:
    rows = session.scalars(
        select(Nanogrid.rated_power_w).where(Nanogrid.portfolio == portfolio, Nanogrid.active_until.is_(None))
    )
    return sum(rows)
