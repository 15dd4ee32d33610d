"""The market's state as Prometheus gauges, read from the store when somebody scrapes, at most every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Final

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError

from market.observability import ProcessClock
from market.services.backlog import Backlog, Waiting, backlog_of
from market.services.market import Market

log = structlog.get_logger(__name__)

_LOOK_EVERY_S: Final = 5.0
"""Whoever scrapes more often gets the same figures: watching costs the same, however many watch."""


def registry_of(market: Market) -> CollectorRegistry:
    """The gauges of a market, which stand beside those that are the process's."""
    registry = CollectorRegistry()
    registry.register(ProcessClock(market.clock.now))
    registry.register(MarketGauges(market))
    return registry


class MarketGauges(Collector):
    """What should have been done by now and is not, and whether the database says it."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._looking = threading.Lock()
        self._looked_at: float | None = None
        self._found: Backlog | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges as they are now."""
        found = self._backlog()
        up = "1 while the database answers, else 0: then what is read from it is missing"
        yield GaugeMetricFamily("meritgrid_database_up", up, value=0 if found is None else 1)
        if found is None:
            return
        yield from _metering(found)
        yield from _waiting("meritgrid_offers_overdue", "Offers whose step is overdue", "step", found.offers)
        yield from _waiting("meritgrid_escrows_overdue", "Escrows that should be empty by now", "kind", found.escrows)
        what = "Transactions without a receipt"
        yield from _waiting("meritgrid_transactions_pending", what, "sender", found.transactions)

    def _backlog(self) -> Backlog | None:
        market = self._market
        with self._looking:
            if self._looked_at is not None and time.monotonic() - self._looked_at < _LOOK_EVERY_S:
                return self._found
            try:
                with market.reading() as session:
                    self._found = backlog_of(session, market.calendar, market.now_s(), market.relayer.address)
            except SQLAlchemyError as problem:
                log.error("the market's state cannot be read for its metrics", problem=str(problem))
                self._found = None
            self._looked_at = time.monotonic()
            return self._found


def _metering(found: Backlog) -> Iterator[GaugeMetricFamily]:
    seated = "Nanogrids of the node that had a gateway in the last settled interval"
    gateways = GaugeMetricFamily("meritgrid_node_gateways", seated, None, ["node"])
    metered = "Those of them that have a reading for that interval"
    readings = GaugeMetricFamily("meritgrid_node_readings", metered, None, ["node"])
    for node, metering in found.metering.items():
        gateways.add_metric([str(node)], metering.gateways)
        readings.add_metric([str(node)], metering.readings)
    yield from (gateways, readings)


def _waiting(name: str, what: str, label: str, waiting: Mapping[str, Waiting]) -> Iterator[GaugeMetricFamily]:
    counts = GaugeMetricFamily(name, what, None, [label])
    longest = GaugeMetricFamily(f"{name}_seconds", f"{what}: how long the first one has waited [s]", None, [label])
    for each, figure in waiting.items():
        counts.add_metric([each], figure.count)
        longest.add_metric([each], figure.longest_s)
    yield from (counts, longest)
