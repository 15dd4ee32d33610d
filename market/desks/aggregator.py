"""The aggregator's desk: answers each request at its nodes with an offer to its own nanogrids.

It keeps a share of the request's price as its margin and asks for at most what its nanogrids are rated for.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from market.desks.desk import Desk
from market.desks.market_client import Json, MarketClient, MarketProblem
from market.domain.calendar import Moment
from market.domain.messages import Offer
from market.domain.products import Side
from market.jobs import Job

log = structlog.get_logger(__name__)

_BYTES_OF_SALT = 8
_PER_MILLE = 1000
_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class OfferPolicy:
    """How the aggregator answers requests.

    limit_permille: limit price in per mille of the request's price; the rest is at least its margin.
    """

    limit_permille: int = 850

    def limit_price(self, request_price_ueur_kwh: int) -> int:
        """Limit price [micro-euro per kWh], rounded down, at least 1."""
        return max(1, request_price_ueur_kwh * self.limit_permille // _PER_MILLE)


@dataclass(frozen=True, slots=True)
class Portfolio:
    """A portfolio of this aggregator: its node and the sum of its nanogrids' rated power [W]."""

    portfolio: int
    node: int
    rated_power_w: int

    def rated_energy_wh(self, time_unit_s: int) -> int:
        return self.rated_power_w * time_unit_s // _SECONDS_PER_HOUR


def offer_for(
    request: Json, interval: int, portfolio: Portfolio, policy: OfferPolicy, gate_closure: int, time_unit_s: int
) -> Offer | None:
    """The offer that answers a request's interval, or None where nothing is left to accept."""
    available = next((row["available"] for row in request["intervals"] if row["interval"] == interval), 0)
    quantity = min(int(available), portfolio.rated_energy_wh(time_unit_s))
    if quantity <= 0:
        return None
    request_id = bytes.fromhex(str(request["id"]).removeprefix("0x"))
    return Offer(
        portfolio=portfolio.portfolio,
        request=request_id,
        interval=interval,
        side=Side.BUY,
        direction=int(request["direction"]),
        product=int(request["product"]),
        quantity=quantity,
        limit_price_ueur_kwh=policy.limit_price(int(request["price_ueur_kwh"])),
        gate_closure=gate_closure,
        # Derived from the request, so that the desk, started again, makes the same offer and not a second one.
        salt=int.from_bytes(request_id[:_BYTES_OF_SALT], "big"),
    )


class AggregatorDesk:
    """Opens offers at the calendar's moment."""

    def __init__(self, desk: Desk, policy: OfferPolicy) -> None:
        self._desk = desk
        self._policy = policy

    @classmethod
    def connect(cls, client: MarketClient, private_key: bytes, policy: OfferPolicy) -> AggregatorDesk:
        return cls(Desk(client, private_key), policy)

    @property
    def desk(self) -> Desk:
        return self._desk

    def jobs(self) -> list[Job]:
        """The desk's calendar."""
        offset_s = self._desk.calendar.at(Moment.OFFER_OPENED, 0)
        return [Job("open offers", offset_s, self.open_offers)]

    def portfolios(self) -> list[Portfolio]:
        """The aggregator's own portfolios."""
        own = self._desk.client.address.lower()
        return [
            Portfolio(int(row["portfolio"]), int(node["node"]), int(row["rated_power_w"]))
            for node in self._desk.client.items("/v1/nodes")
            for row in node["portfolios"]
            if str(row["aggregator"]).lower() == own
        ]

    def open_offers(self, interval: int) -> None:
        """Open an offer for every request of an interval at the own nodes."""
        calendar = self._desk.calendar
        gate_closure = calendar.latest_gate_closure(interval)
        for portfolio in self.portfolios():
            for request in self._desk.client.items("/v1/requests", node=portfolio.node, first=interval, last=interval):
                offer = offer_for(request, interval, portfolio, self._policy, gate_closure, calendar.time_unit_s)
                if offer is not None:
                    self._open(offer)

    def _open(self, offer: Offer) -> None:
        try:
            answer = self._desk.decide("/v1/offers", offer)
        except MarketProblem as problem:
            if problem.code in {"offer-exists", "offer-pending"}:
                return  # opened before this desk was started again
            log.warning("offer refused", interval=offer.interval, problem=problem.describe())
            return
        log.info("offer opened", offer=answer["id"], interval=offer.interval, quantity=offer.quantity)
