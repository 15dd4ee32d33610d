"""A bidder, or who carries its bid, tries to gain priority by what it writes into the twelve bytes of a record."""

from __future__ import annotations

import pytest

from market.domain.errors import BidRejection
from market.domain.records import BidRecord
from tests.attacks.arena import HONEST_BIDS, NO_SIGNATURE, Arena, Outcome, nanogrid
from tests.contracts_properties.auction_house import FIRST_MONTH, is_reserved, owner_key

NOT_RESERVED = 1 << 66
PRICE = 67
QUANTITY, MINIMUM = 40, 16
"""Places of a record's fields, in bits from the right."""


def rewritten(wire: bytes, change: int) -> bytes:
    """The bid with its record changed, and its signature as it was."""
    return (int.from_bytes(wire[:12], "big") ^ change).to_bytes(12, "big") + wire[12:]


@pytest.mark.parametrize("index", [6, 7])
def test_a_forged_reserved_flag_is_overwritten_by_the_register(arena: Arena, index: int) -> None:
    offer = arena.opened()
    wire = arena.wired(offer, BidRecord(100_000, 400, 0, index))
    arena.send(arena.posting(offer, rewritten(wire, NOT_RESERVED)), arena.attacker)
    (posted,) = arena.posted(offer)
    assert posted.record.reserved is is_reserved(index)


def test_a_forged_reserved_flag_wins_no_tie(arena: Arena) -> None:
    offer = arena.opened()
    pretender, reserved = BidRecord(100_000, 800, 0, 7), BidRecord(100_000, 800, 0, 6)
    flagless = [arena.wired(offer, bid) for bid in (pretender, reserved)]
    arena.send(arena.posting(offer, flagless[0], rewritten(flagless[1], NOT_RESERVED)), arena.attacker)
    assert arena.conclude(offer).awards == {6: 800, 7: 200}


def test_a_reservation_made_for_the_running_month_is_refused(arena: Arena) -> None:
    """Who sees the bids cannot reserve somebody afterwards: a month's bitmap is frozen when it begins."""
    offer = arena.opened()
    arena.send(arena.posting(offer, arena.wired(offer, BidRecord(100_000, 800, 0, 7))), arena.relayer)
    contract = (nanogrid(7), 2, FIRST_MONTH, 1, 1000, 1, 9)
    registering = arena.capacity_register.functions.registerContract(contract, NO_SIGNATURE)
    arena.refuse(registering, arena.dso, "MonthAlreadyBegun", month=FIRST_MONTH)
    assert arena.conclude(offer).awards == {7: 800}


@pytest.mark.parametrize(
    ("signed", "change"),
    [
        pytest.param({"price_ueur_kwh": 2**29 + 90_000}, (90_000 ^ 100_000) << PRICE, id="price-wraps-to-a-lower-one"),
        pytest.param({"price_ueur_kwh": 2**29}, 100_000 << PRICE, id="price-wraps-to-zero"),
        pytest.param({}, (100_000 ^ 1) << PRICE, id="price-rewritten"),
        pytest.param({}, 1 << QUANTITY + 10, id="quantity-rewritten"),
        pytest.param({}, 500 << MINIMUM, id="minimum-rewritten-above-the-quantity"),
        pytest.param({}, 300 << MINIMUM, id="minimum-rewritten"),
        pytest.param({}, 1 << 64, id="revision-rewritten"),
        pytest.param({}, 7 ^ 5, id="index-rewritten"),
        pytest.param({"quantity": 400 | 1 << 23}, 0, id="another-quantity-signed"),
    ],
)
def test_a_field_that_overflows_into_priority_is_skipped(
    arena: Arena, honest_outcome: Outcome, signed: dict[str, int], change: int
) -> None:
    offer = arena.honest_offer()
    wire = arena.wire_by(owner_key(7), offer, BidRecord(100_000, 400, 0, 7), **signed)
    receipt = arena.send(arena.posting(offer, rewritten(wire, change)), arena.attacker)
    assert len(arena.skips(receipt)) == 1
    assert len(arena.posted(offer)) == len(HONEST_BIDS)
    assert arena.conclude(offer) == honest_outcome


def test_a_price_of_zero_is_no_price(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.honest_offer()
    wire = arena.wire_by(owner_key(7), offer, BidRecord(1, 400, 0, 7), price_ueur_kwh=0)
    receipt = arena.send(arena.posting(offer, rewritten(wire, 1 << PRICE)), arena.attacker)
    assert arena.skips(receipt) == [BidRejection.PRICE_OUT_OF_RANGE]
    assert arena.conclude(offer) == honest_outcome


def test_bytes_that_are_no_whole_bids_are_refused(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.honest_offer()
    wire = arena.wired(offer, BidRecord(100_000, 400, 0, 7))
    for malformed in (wire[:-1], wire + b"\0", b""):
        arena.refuse(arena.posting(offer, malformed), arena.attacker, "MalformedBids", length=len(malformed))
    assert arena.conclude(offer) == honest_outcome
