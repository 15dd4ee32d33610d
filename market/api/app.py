"""The market's HTTP API: all routers under /v1, the page, health and metrics."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from market.api import (
    access,
    accounts,
    admission,
    enrolments,
    facts,
    guard,
    nanogrids,
    nodes,
    operator,
    problems,
    settlements,
    stream,
    trading,
)
from market.api.description import describe
from market.api.gauges import registry_of
from market.services.market import Market
from market.settings import ApiSettings


def create_app(market: Market, limits: ApiSettings | None = None) -> FastAPI:
    """The application over a market. limits: how often callers may call; None: as the settings have it by default."""
    app = FastAPI(
        title="Meritgrid market",
        version=version("meritgrid"),
        summary="Flexibility auctions in on-chain merit order, between a DSO, aggregators and prosumers",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    app.state.market = market
    app.state.gauges = registry_of(market)
    problems.install(app)
    guard.install(app, market)
    admission.install(app, limits or ApiSettings())
    for module in (facts, access, operator, enrolments, accounts, nanogrids, nodes, trading, settlements, stream):
        app.include_router(module.router, prefix="/v1")
    app.include_router(facts.pages)
    app.mount("/static", StaticFiles(directory=facts.STATIC_FOLDER), name="static")
    describe(app)
    return app
