"""The model of a DSO's requests, and of the rules that requests and offers share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from market.domain.calendar import Calendar
from market.domain.hashing import keccak256
from market.domain.intervals import is_interval
from market.domain.messages import Request
from market.domain.products import REQUESTED, Direction, Phase
from market.domain.settlement import request_escrow_ueur
from market.domain.traffic_light import Action, allows
from market.domain.units import MAX_PRICE_UEUR_KWH
from tests.stateful.model.refusal import Context, Refused
from tests.stateful.model.registry import RegistryModel
from tests.stateful.model.settlement import SettlementModel
from tests.stateful.model.signals import SignalsModel

NO_REQUEST = bytes(32)


@dataclass
class PublishedRequest:
    terms: Request
    dso: str
    published_at: int
    available: Counter[int] = field(default_factory=Counter)


def request_escrow(request: bytes, interval: int) -> bytes:
    """Id of the escrow of a request's interval."""
    return keccak256(request + interval.to_bytes(32, "big"))


@dataclass(kw_only=True)
class RequestsModel:
    context: Context
    registry: RegistryModel
    signals: SignalsModel
    settlement: SettlementModel
    calendar: Calendar
    requests: dict[bytes, PublishedRequest] = field(default_factory=dict)

    def publish_request(self, sender: str, request: tuple[Any, ...], signature: bytes) -> None:
        given = Request(*request)
        id_ = self.context.digest(given)
        if id_ in self.requests:
            raise Refused("RequestExists", id_)
        dso = self.context.signer(sender, given, signature)
        self._require_requestable(given, dso)
        locks = self._locks_of(given, dso)
        if not locks:
            raise Refused("EmptyQuantity")
        self.requests[id_] = PublishedRequest(given, dso, self.context.now)
        for interval, quantity, amount in locks:
            self.requests[id_].available[interval] = quantity
            self.settlement.ledger.lock(request_escrow(id_, interval), dso, amount)
        total = sum(amount for _, _, amount in locks)
        shown = (given.product, given.direction, given.price_ueur_kwh, given.quantities)
        self.context.emit("RequestPublished", id_, given.node, dso, given.first_interval, *shown, total)

    def _require_requestable(self, given: Request, dso: str) -> None:
        if not self.registry.is_dso(given.node, dso):
            raise Refused("NotDsoOfNode", given.node, dso)
        if given.product not in REQUESTED:
            raise Refused("InvalidProduct", given.product)
        if given.direction > Direction.DOWN:
            raise Refused("InvalidDirection", given.direction)
        self._require_price(given.price_ueur_kwh)
        self._require_interval(given.first_interval)
        self._require_not_paused(given.node, given.product)

    def _locks_of(self, given: Request, dso: str) -> list[tuple[int, int, int]]:
        """(interval, quantity, escrow) of each interval with a need."""
        ledger, locks = self.settlement.ledger, []
        balance = ledger.accounts[dso].balance
        for place, quantity in enumerate(given.quantities):
            if not quantity:
                continue
            interval = self.calendar.next_interval(given.first_interval, place)
            if interval >= 2**32:
                raise Refused("NotAnInterval", 2**32 - 1)
            if self.context.now > self.calendar.reclaimable_at(interval):
                raise Refused("RequestTooLate", interval)
            self._require_phase_allows(Action.PUBLISH_REQUEST, given.node, interval)
            amount = request_escrow_ueur(quantity, given.price_ueur_kwh)
            ledger.require_no_debt(dso)
            if amount > balance:
                raise Refused("InsufficientBalance", dso, balance, amount)
            balance -= amount
            locks.append((interval, quantity, amount))
        return locks

    def reclaim_request(self, sender: str, request: bytes, interval: int) -> None:
        published = self._existing_request(request)
        if self.context.now <= self.calendar.reclaimable_at(interval):
            raise Refused("RequestStillOpen", request, interval)
        id_ = request_escrow(request, interval)
        amount = self.settlement.ledger.escrows[id_]
        if not amount:
            raise Refused("NothingToReclaim", request, interval)
        published.available[interval] = 0
        self.context.emit("RequestReclaimed", request, interval, amount)
        self.settlement.ledger.release(id_, published.dso, amount)

    def _existing_request(self, request: bytes) -> PublishedRequest:
        if request not in self.requests:
            raise Refused("UnknownRequest", request)
        return self.requests[request]

    # SHARED RULES

    def _require_price(self, price: int) -> None:
        if not 0 < price <= MAX_PRICE_UEUR_KWH:
            raise Refused("PriceOutOfRange", price)

    def _require_interval(self, interval: int) -> None:
        if not is_interval(interval, self.calendar.time_unit_s):
            raise Refused("NotAnInterval", interval)

    def _require_not_paused(self, node: int, product: int) -> None:
        if self.registry.is_paused(node, product):
            raise Refused("Paused", node, product)

    def _require_not_red(self, node: int, interval: int) -> None:
        if self.signals.phase(node, interval) is Phase.RED:
            raise Refused("NodeIsRed", node, interval)

    def _require_phase_allows(self, action: Action, node: int, interval: int) -> None:
        phase = self.signals.phase(node, interval)
        if not allows(phase, action):
            raise Refused("NodeNotYellow", node, interval, phase)
