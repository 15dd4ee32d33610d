"""Wrong offers and requests get their named error from the market and from the contract, and change nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from market.desks.market_client import MarketProblem
from market.domain.hashing import keccak256
from market.domain.messages import Withdrawal
from market.domain.products import Direction, Phase, Product
from market.domain.typed_data import Message
from tests.bad_input.conftest import House, T
from tests.chain.world import KEYS, before

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Wrong:
    """A wrong decision: what happens before, the message, who signs, and the named error."""

    make: Callable[[House], Message]
    code: str
    error: str
    by: str = "aggregator"


def answering(**fields: Any) -> Callable[[House], Message]:
    """An offer that answers a request, opened in time but for these fields."""

    def make(house: House) -> Message:
        request = house.yellow()
        house.world.at(before(T, 275))
        return house.offer_message(request, **fields)

    return make


def at_red(house: House) -> Message:
    request = house.yellow()
    house.world.at(before(T, 275))
    house.world.signal(T, Phase.RED, 2)
    return house.offer_message(request)


def without_baselines(house: House) -> Message:
    house.world.at(before(T, 300))
    house.world.signal(T, Phase.YELLOW, 1)
    request = house.world.request(T, [2000])
    house.world.at(before(T, 275))
    return house.offer_message(request)


def baselines_after_the_request(house: House) -> Message:
    house.world.at(before(T, 300))
    house.world.signal(T, Phase.YELLOW, 1)
    request = house.world.request(T, [2000])
    house.world.at(before(T, 290))
    house.world.anchor(T, [0, 0, 0, 0])
    house.world.at(before(T, 275))
    return house.offer_message(request)


def internal_without_funds(house: House) -> Message:
    take_out(house, "aggregator", leave_ueur=1)
    house.anchored()
    house.world.at(before(T, 400))
    return house.offer_message(bytes(32), product=Product.INTERNAL, gate_closure=before(T, 345))


def take_out(house: House, role: str, leave_ueur: int) -> None:
    settlement, world = house.world.contracts.settlement.functions, house.world
    amount_ueur = world.contracts.call(settlement.balanceOf(world.address(role))) - leave_ueur
    world.decide(settlement.withdraw, Withdrawal(world.address(role), amount_ueur, 0), role)


OFFERS = {
    "at a node on RED": Wrong(at_red, "node-is-red", "NodeIsRed"),
    "with a gate that has closed": Wrong(
        answering(gate_closure=before(T, 276)), "closure-too-early", "ClosureTooEarly"
    ),
    "with a gate that closes after the latest": Wrong(
        answering(gate_closure=before(T, 139)), "closure-too-late", "ClosureTooLate"
    ),
    "without funds": Wrong(internal_without_funds, "insufficient-balance", "InsufficientBalance"),
    "before the baselines were anchored": Wrong(without_baselines, "baseline-not-anchored", "BaselineNotAnchored"),
    "with baselines that came after the request": Wrong(
        baselines_after_the_request, "baseline-anchored-too-late", "BaselineAnchoredTooLate"
    ),
    "above the request's price": Wrong(
        answering(limit_price_ueur_kwh=400_001), "limit-above-request", "LimitAboveRequest"
    ),
    "of more than was requested": Wrong(answering(quantity=2001), "quantity-beyond-request", "QuantityBeyondRequest"),
    "in the other direction": Wrong(answering(direction=Direction.UP), "request-mismatch", "RequestMismatch"),
    "for a request that is not there": Wrong(
        lambda house: answering()(house) and house.offer_message(keccak256(b"no request")),
        "unknown-request",
        "UnknownRequest",
    ),
    "of another's portfolio": Wrong(
        answering(), "not-aggregator-of-portfolio", "NotAggregatorOfPortfolio", by="stranger"
    ),
}


@pytest.mark.parametrize("what", OFFERS)
def test_a_wrong_offer_is_refused_and_changes_nothing(house: House, what: str) -> None:
    refused_by_both(house, OFFERS[what], "/v1/offers", house.world.contracts.auction.functions.openOffer)


def yellow_only(house: House) -> None:
    house.anchored()
    house.world.at(before(T, 300))
    house.world.signal(T, Phase.YELLOW, 1)


def wanted(**fields: Any) -> Callable[[House], Message]:
    def make(house: House) -> Message:
        yellow_only(house)
        return house.request_message(**fields)

    return make


def without_money(house: House) -> Message:
    take_out(house, "dso", leave_ueur=1)
    return wanted()(house)


def too_late(house: House) -> Message:
    yellow_only(house)
    house.world.at(before(T, 189))
    return house.request_message()


def twice(house: House) -> Message:
    yellow_only(house)
    message = house.request_message()
    house.world.decide(house.world.contracts.auction.functions.publishRequest, message, "dso")
    return message


REQUESTS = {
    "of another node's DSO": Wrong(wanted(), "not-dso-of-node", "NotDsoOfNode", by="stranger"),
    "without money": Wrong(without_money, "insufficient-balance", "InsufficientBalance", by="dso"),
    "of nothing": Wrong(wanted(quantities=(0,)), "empty-quantity", "EmptyQuantity", by="dso"),
    "at no start of an interval": Wrong(wanted(first_interval=T + 1), "not-an-interval", "NotAnInterval", by="dso"),
    "that comes too late": Wrong(too_late, "request-too-late", "RequestTooLate", by="dso"),
    "for a free product": Wrong(wanted(product=Product.INTERNAL), "invalid-product", "InvalidProduct", by="dso"),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_a_wrong_request_is_refused_and_changes_nothing(house: House, what: str) -> None:
    refused_by_both(house, REQUESTS[what], "/v1/requests", house.world.contracts.auction.functions.publishRequest)


def refused_by_both(house: House, wrong: Wrong, path: str, function: Any) -> None:
    message = wrong.make(house)
    house.room.market.index()
    key = KEYS[wrong.by]
    assert house.refusal(key, path, house.signed(message, key)) == wrong.code
    signature = house.world.sign(key, message)
    assert house.contract_refusal(function(message.arguments(), signature)) == wrong.error


def test_a_decision_signed_by_another_than_the_caller_is_refused(house: House) -> None:
    yellow_only(house)
    body = house.signed(house.request_message(), KEYS["dso"])
    assert house.refusal(KEYS["aggregator"], "/v1/requests", body) == "not-allowed"


@pytest.mark.parametrize("field", ["node", "quantities", "price_ueur_kwh"])
def test_a_message_that_was_changed_after_signing_is_refused(house: House, field: str) -> None:
    yellow_only(house)
    body = house.signed(house.request_message(), KEYS["dso"])
    body["message"][field] = {"node": 8, "quantities": [3000], "price_ueur_kwh": 1}[field]
    assert house.refusal(KEYS["dso"], "/v1/requests", body) == "not-allowed"


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        ("/v1/requests", {"price_ueur_kwh": -1}),
        ("/v1/requests", {"quantities": [-1]}),
        ("/v1/requests", {"price_ueur_kwh": 2**256}),
        ("/v1/offers", {"limit_price_ueur_kwh": -1}),
        ("/v1/offers", {"quantity": -1}),
        ("/v1/offers", {"quantity": 2**256}),
    ],
    ids=str,
)
def test_a_number_that_no_message_can_hold_is_refused(house: House, path: str, changed: dict[str, Any]) -> None:
    """Such a message cannot be signed at all: only the market can be asked to take it."""
    request = house.yellow()
    house.world.at(before(T, 275))
    is_request = path == "/v1/requests"
    key = KEYS["dso" if is_request else "aggregator"]
    body = house.signed(house.request_message() if is_request else house.offer_message(request), key)
    body["message"] |= changed
    assert house.refusal(key, path, body) == "validation-failed"


def test_all_that_is_wrong_with_a_message_is_said_at_once(house: House) -> None:
    body = house.signed(house.request_message(), KEYS["dso"])
    body["message"] |= {"node": -1, "price_ueur_kwh": "dear", "surplus": 1}
    del body["message"]["salt"]
    with house.client(KEYS["dso"]) as client, house.unchanged(), pytest.raises(MarketProblem) as refused:
        client.post("/v1/requests", body)
    assert refused.value.code == "validation-failed"
    pointers = {error["pointer"] for error in refused.value.problem["errors"]}
    assert pointers == {"/message/node", "/message/price_ueur_kwh", "/message/surplus", "/message/salt"}


def test_a_request_sent_twice_is_the_same_one(house: House) -> None:
    message = twice(house)
    signature = house.world.sign(KEYS["dso"], message)
    function = house.world.contracts.auction.functions.publishRequest
    assert house.contract_refusal(function(message.arguments(), signature)) == "RequestExists"
