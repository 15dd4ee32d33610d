"""A wrong bid gets its named error from the market, the contract skips it for the same reason, and nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from market.domain.error_texts import BidRejection
from market.domain.hashing import keccak256
from market.domain.messages import Bid
from market.domain.signing import sign_message
from market.domain.typed_data import Domain
from market.services import rounds
from tests.bad_input.conftest import DELEGATE, FOREIGN_OWNER, House, T
from tests.chain.story import unbond
from tests.chain.world import EUR, U, before, owner_key

pytestmark = pytest.mark.slow

Signed = tuple[Bid, bytes]


def in_domain(house: House, bid: Bid, **other: Any) -> Signed:
    """Signed by the owner, for another chain or another contract."""
    domain = replace(house.world.contracts.domain_of(bid), **other)
    assert isinstance(domain, Domain)
    return bid, sign_message(owner_key(0), bid, domain).compact()


def by(key: bytes, **fields: int) -> Callable[[House, str], Signed]:
    def make(house: House, offer: str) -> Signed:
        bid = house.bid(offer, **fields)
        return bid, house.sign(bid, key)

    return make


@dataclass(frozen=True)
class Wrong:
    """A wrong bid: how it is made, the market's code, the contract's reason."""

    make: Callable[[House, str], Signed]
    code: str
    reason: BidRejection


OWNER = owner_key(0)
ANOTHER_OFFER = "0x" + keccak256(b"another offer").hex()

WRONG = {
    "another's signature": Wrong(by(owner_key(1)), "bad-signature", BidRejection.BAD_SIGNATURE),
    "another chain": Wrong(
        lambda house, offer: in_domain(house, house.bid(offer), chain_id=1), "bad-signature", BidRejection.BAD_SIGNATURE
    ),
    "another contract": Wrong(
        lambda house, offer: in_domain(house, house.bid(offer), contract="0x" + "ab" * 20),
        "bad-signature",
        BidRejection.BAD_SIGNATURE,
    ),
    "signed for another offer": Wrong(
        lambda house, offer: (house.bid(offer), house.sign(house.bid(ANOTHER_OFFER), OWNER)),
        "bad-signature",
        BidRejection.BAD_SIGNATURE,
    ),
    "a nanogrid of another node": Wrong(by(FOREIGN_OWNER), "bad-signature", BidRejection.BAD_SIGNATURE),
    "another's nanogrid": Wrong(by(OWNER, index=1), "bad-signature", BidRejection.BAD_SIGNATURE),
    "no such nanogrid": Wrong(by(OWNER, index=99), "seat-not-active", BidRejection.SEAT_NOT_ACTIVE),
    "price beyond the limit": Wrong(
        by(OWNER, price_ueur_kwh=300_001), "price-beyond-limit", BidRejection.PRICE_BEYOND_LIMIT
    ),
    "price of 0": Wrong(by(OWNER, price_ueur_kwh=0), "validation-failed", BidRejection.PRICE_OUT_OF_RANGE),
    "quantity of 0": Wrong(by(OWNER, quantity=0), "validation-failed", BidRejection.QUANTITY_OUT_OF_RANGE),
    "more than the seat is rated for": Wrong(
        by(OWNER, quantity=10_001), "quantity-out-of-range", BidRejection.QUANTITY_OUT_OF_RANGE
    ),
    "minimum above quantity": Wrong(by(OWNER, minimum=501), "validation-failed", BidRejection.MINIMUM_ABOVE_QUANTITY),
    "a revision before the bid": Wrong(by(OWNER, revision=1), "wrong-revision", BidRejection.WRONG_REVISION),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_bid_is_refused_and_changes_nothing(house: House, what: str) -> None:
    wrong, offer = WRONG[what], house.open_offer()
    bid, signature = wrong.make(house, offer)
    assert house.bid_refusal(bid, signature) == wrong.code
    assert house.skip_reason(bid, signature) == wrong.reason


@pytest.mark.parametrize("field", ["price_ueur_kwh", "quantity", "minimum"])
def test_a_number_that_no_message_can_hold_is_refused(house: House, field: str) -> None:
    """Such a bid cannot be signed or posted at all: only the market can be asked to take it."""
    offer = house.open_offer()
    bid = house.bid(offer)
    signature = house.sign(bid, OWNER)
    for value in (-1, 2**256):
        object.__setattr__(bid, field, value)  # past the domain, which builds no such bid
        assert house.bid_refusal(bid, signature) == "validation-failed", value


def test_a_bid_that_could_cost_more_than_the_bond_covers_is_refused(house: House) -> None:
    unbond(house.world, 2, 79 * EUR)
    offer = house.open_offer()
    bid = house.bid(offer, index=2, quantity=5000, price_ueur_kwh=299_999)
    signature = house.sign(bid, owner_key(2))
    assert house.bid_refusal(bid, signature) == "beyond-cover"
    assert house.skip_reason(bid, signature) == BidRejection.BEYOND_COVER


DELEGATES = {
    "below its lowest price": ({"price_ueur_kwh": 89_999}, {}, BidRejection.PRICE_BELOW_DELEGATE_LIMIT),
    "above its largest quantity": ({"quantity": 601}, {}, BidRejection.QUANTITY_OUT_OF_RANGE),
    "beyond its cover": ({"quantity": 600}, {"cover_cents": 1}, BidRejection.BEYOND_COVER),
    "after its last day": ({}, {"expiry_day": -1}, BidRejection.DELEGATE_EXPIRED),
}


@pytest.mark.parametrize("what", DELEGATES)
def test_a_delegate_beyond_its_limits_is_refused(house: House, what: str) -> None:
    fields, limits, reason = DELEGATES[what]
    if "expiry_day" in limits:
        limits = {"expiry_day": house.world.now_s // 86_400 + limits["expiry_day"]}
    house.delegate(**limits)
    offer = house.open_offer()
    bid = house.bid(offer, **fields)
    signature = house.sign(bid, DELEGATE)
    assert house.bid_refusal(bid, signature) == reason.name.lower().replace("_", "-")
    assert house.skip_reason(bid, signature) == reason


def test_a_revoked_delegate_is_refused(house: House) -> None:
    house.delegate()
    offer = house.open_offer()
    house.delegate(signer="0x" + "00" * 20, nonce=1)
    bid = house.bid(offer)
    signature = house.sign(bid, DELEGATE)
    assert house.bid_refusal(bid, signature) == "bad-signature"
    assert house.skip_reason(bid, signature) == BidRejection.BAD_SIGNATURE


def test_a_replayed_bid_gets_its_first_receipt_again_and_the_contract_skips_it(house: House) -> None:
    offer = house.open_offer()
    bid = house.bid(offer)
    signature = house.sign(bid, OWNER)
    document = {"index": 0, "price_ueur_kwh": 100_000, "quantity": 500, "signature": "0x" + signature.hex()}
    path = f"/v1/offers/{offer}/bids"
    with house.client(OWNER) as client:
        [first] = client.post(path, {"bids": [document]}, idempotency_key="one")["results"]
        with house.unchanged():
            [again] = client.post(path, {"bids": [document]}, idempotency_key="two")["results"]
    assert again == first
    assert first["accepted"]
    house.world.at(before(T, 145))
    rounds.run_due(house.room.market)
    assert house.skip_reason(bid, signature) == BidRejection.WRONG_REVISION


def test_a_refusal_is_not_given_again_to_a_retry_when_it_is_mended(house: House) -> None:
    offer = house.open_offer()
    bid = house.bid(offer)
    document: dict[str, object] = {"index": 0, "price_ueur_kwh": 100_000, "quantity": 500}
    document["signature"] = "0x" + house.sign(bid, DELEGATE).hex()  # who is no delegate yet
    path = f"/v1/offers/{offer}/bids"
    with house.client(OWNER) as client:
        [refused] = client.post(path, {"bids": [document]}, idempotency_key="one")["results"]
        house.delegate()
        [accepted] = client.post(path, {"bids": [document]}, idempotency_key="one")["results"]
    assert not refused["accepted"]
    assert accepted["accepted"]


def test_a_second_sale_of_the_same_interval_is_refused(house: House) -> None:
    house.sold_internally(index=0)
    offer = house.open_offer()
    bid = house.bid(offer)
    signature = house.sign(bid, OWNER)
    assert house.bid_refusal(bid, signature) == "already-sold"
    assert house.skip_reason(bid, signature) == BidRejection.ALREADY_SOLD


def test_a_bid_on_an_offer_that_is_not_there_is_refused(house: House) -> None:
    bid = house.bid(ANOTHER_OFFER)
    signature = house.sign(bid, OWNER)
    document = {"index": 0, "price_ueur_kwh": 100_000, "quantity": 500, "signature": "0x" + signature.hex()}
    assert house.refusal(OWNER, f"/v1/offers/{ANOTHER_OFFER}/bids", {"bids": [document]}) == "unknown-offer"
    assert house.post_refusal(bid, signature) == "UnknownOffer"


@pytest.mark.parametrize("late_s", [1, U])
def test_a_bid_after_the_gate_is_refused(house: House, late_s: int) -> None:
    offer = house.open_offer()
    bid = house.bid(offer)
    signature = house.sign(bid, OWNER)
    document = {"index": 0, "price_ueur_kwh": 100_000, "quantity": 500, "signature": "0x" + signature.hex()}
    house.world.at(before(T, 140) + late_s)
    assert house.refusal(OWNER, f"/v1/offers/{offer}/bids", {"bids": [document]}) == "offer-closed"
    assert house.post_refusal(bid, signature) == "GateClosed"


def test_one_wrong_bid_of_a_batch_stops_none_of_the_others(house: House) -> None:
    offer = house.open_offer()
    bids = [(house.bid(offer, index=index), owner_key(index)) for index in range(3)]
    documents = [
        {"index": bid.index, "price_ueur_kwh": 100_000, "quantity": 500, "signature": "0x" + house.sign(bid, key).hex()}
        for bid, key in bids
    ]
    documents[1]["signature"] = documents[0]["signature"]
    with house.client(OWNER) as client:
        results = client.post(f"/v1/offers/{offer}/bids", {"bids": documents})["results"]
    assert [result["accepted"] for result in results] == [True, False, True]
