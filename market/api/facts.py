"""What everybody may know: the market's contracts and calendar, health, metrics, pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from market.api.context import CurrentMarket
from market.domain.products import PRODUCTS
from market.domain.typed_data import CONTRACT_KEYS
from market.observability import metrics_page
from market.services.backlog import standstill
from market.services.market import Market
from market.store.projections import RoleHolding

router = APIRouter(tags=["market"])
pages = APIRouter(include_in_schema=False)

STATIC_FOLDER = Path(__file__).resolve().parents[1] / "web" / "static"


@router.get("/market")
def describe(market: CurrentMarket) -> dict[str, Any]:
    """Contracts, time unit, calendar and parameters."""
    with market.reading() as session:
        oracles = session.scalars(select(RoleHolding.account).where(RoleHolding.role == "ORACLE")).all()
    return {
        "chain_id": market.chain_id,
        "contracts": {key: market.addresses[name] for name, key in CONTRACT_KEYS.items()},
        "time_unit_s": market.calendar.time_unit_s,
        "now": market.now_s(),
        "calendar": market.calendar.hundredths(),
        "calendar_internal": market.calendar.hundredths(internal=True),
        "parameters": dict(market.parameters),
        "relayer": market.relayer.address,
        "oracles": sorted(oracles),
        "products": [{"code": int(product), "name": product.name} for product in PRODUCTS],
    }


@pages.get("/health/live")
def live() -> dict[str, str]:
    return {"status": "live"}


@pages.get("/health/ready")
def ready(market: CurrentMarket) -> JSONResponse:
    """200 when database and chain answer; else 503 and what is missing."""
    missing = {name: why for name, why in (("database", _database(market)), ("chain", _chain(market))) if why}
    status = "not ready" if missing else "ready"
    return JSONResponse({"status": status, "missing": missing}, status_code=503 if missing else 200)


@pages.get("/metrics")
def metrics(request: Request) -> Response:
    body, media_type = metrics_page(request.app.state.gauges)
    return Response(body, media_type=media_type)


@pages.get("/")
def index() -> FileResponse:
    return FileResponse(STATIC_FOLDER / "index.html")


def _database(market: Market) -> str | None:
    try:
        with market.reading() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError as problem:
        return str(problem)
    return None


def _chain(market: Market) -> str | None:
    try:
        market.contracts.web3.eth.block_number  # noqa: B018 - the question is whether it answers
        with market.reading() as session:
            since = standstill(session, now_s := market.now_s())
    except (OSError, SQLAlchemyError) as problem:
        return str(problem)
    if since is None:
        return None
    return (
        f"It answers, and takes nothing in: a transaction has waited for {now_s - since} s. Trading stands still; what "
        "is sent waits, and goes on by itself. Are more than three quarters of the validators up? Is the sender listed?"
    )
