"""MeritOrderAuction: posting bids. A bad bid of a batch is skipped with its reason, the rest stands."""

from datetime import UTC, datetime

import pytest
from auction_room import (
    CM_CAPACITY,
    CM_REALTIME,
    EXPIRED,
    LIMIT_PRICE,
    RED,
    SELL,
    YELLOW,
    Room,
    fund,
)
from brownie import reverts
from stage import NO_SIGNATURE, NODE, RATED_POWER_W, U, thrown

from market.domain.messages import CapacityContract, Delegation
from market.domain.records import fold_chain

(
    ACCEPTED,
    BAD_SIGNATURE,
    SEAT_NOT_ACTIVE,
    PRICE_OUT_OF_RANGE,
    PRICE_BEYOND_LIMIT,
    QUANTITY_OUT_OF_RANGE,
    MINIMUM_ABOVE_QUANTITY,
    BEYOND_COVER,
    DELEGATE_EXPIRED,
    PRICE_BELOW_DELEGATE_LIMIT,
    WRONG_REVISION,
    ALREADY_SOLD,
    OWNER_SIGNATURE_REQUIRED,
) = range(13)
LARGEST_WH = 2 * RATED_POWER_W * U // 3600
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.fixture(scope="module")
def funded(stage):
    fund(stage)
    return stage


@pytest.fixture
def room(funded):
    return Room(funded)


@pytest.fixture
def offer(room):
    return room.opened()


def seat_delegate(room, index=0, largest=500, lowest=150_000, cover_cents=1000, expiry_day=40_000):
    stage = room.stage
    delegation = Delegation(stage.seat(index), stage.delegate.address, expiry_day, lowest, largest, cover_cents, 0)
    stage.registry.setDelegate(delegation.arguments(), NO_SIGNATURE, {"from": stage.owners[index]})


# BATCHES


def test_accepted_bids_are_chained_in_posting_order(room, offer):
    wires = [room.wire(offer, index, price=100_000 + index) for index in range(3)]
    first = room.post(offer, wires[0], wires[1]).events["BidsPosted"]
    second = room.post(offer, wires[2]).events["BidsPosted"]
    records = bytes(first["records"]) + bytes(second["records"])
    assert (first["firstPosition"] == 0, second["firstPosition"] == 2) == (True, True)
    state = room.auction.stateOf(offer)
    assert bytes(state["chain"]) == bytes(second["chain"]) == fold_chain(records)
    assert state["bidCount"] == 3


def test_a_bad_bid_in_a_batch_is_skipped_and_the_rest_stands(room, offer):
    good = [room.wire(offer, 0), room.wire(offer, 2)]
    assert room.skipped(offer, good[0], room.wire(offer, 1, price=LIMIT_PRICE + 1), good[1]) == [PRICE_BEYOND_LIMIT]
    assert room.auction.stateOf(offer)["bidCount"] == 2


def test_a_batch_of_bad_bids_changes_nothing(room, offer):
    assert room.skipped(offer, room.wire(offer, 0, price=LIMIT_PRICE + 1)) == [PRICE_BEYOND_LIMIT]
    assert room.auction.stateOf(offer)["bidCount"] == 0
    assert room.auction.postsOf(offer, 0) == 0


@pytest.mark.parametrize("length", [0, 75, 77])
def test_a_batch_has_whole_bids(room, offer, length):
    with reverts(thrown("MalformedBids", length)):
        room.post(offer, bytes(length))


def test_bids_are_taken_until_gate_closure(room, offer):
    stage = room.stage
    stage.at(stage.before(140) - 1)
    room.bid(offer, 0)
    stage.at(stage.before(140))
    with reverts(thrown("GateClosed", offer, stage.before(140))):
        room.post(offer, room.wire(offer, 1))


def test_no_bids_on_red(room, offer):
    room.signal(RED)
    with reverts(thrown("NodeIsRed", NODE, room.stage.interval)):
        room.post(offer, room.wire(offer, 0))


def test_no_bids_for_an_offer_that_ended(room, offer):
    room.signal(RED)
    room.auction.expireOffer(offer, {"from": room.stage.stranger})
    with reverts(thrown("WrongStatus", offer, EXPIRED)):
        room.post(offer, room.wire(offer, 0))


def test_no_bids_for_an_unknown_offer(room, offer):
    with reverts(thrown("UnknownOffer", b"\x05" * 32)):
        room.post(b"\x05" * 32, room.wire(offer, 0))


def test_a_pause_stops_bids_but_not_withdrawals(room, offer):
    room.bid(offer, 0)
    room.stage.registry.setPaused(NODE, 0, True, {"from": room.stage.operator})
    with reverts(thrown("Paused", NODE, CM_REALTIME)):
        room.post(offer, room.wire(offer, 1))
    assert room.skipped(offer, room.wire(offer, 0, quantity=0, revision=1)) == []


# ONE BID


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"price": 0}, PRICE_OUT_OF_RANGE),
        ({"price": LIMIT_PRICE + 1}, PRICE_BEYOND_LIMIT),
        ({"quantity": 0}, QUANTITY_OUT_OF_RANGE),
        ({"quantity": LARGEST_WH + 1}, QUANTITY_OUT_OF_RANGE),
        ({"minimum": 401}, MINIMUM_ABOVE_QUANTITY),
        ({"revision": 1}, WRONG_REVISION),
        ({"revision": 3}, WRONG_REVISION),
        ({"index": 3}, SEAT_NOT_ACTIVE),
        ({"signed": {"price_ueur_kwh": 200_001}}, BAD_SIGNATURE),
        ({"signed": {"quantity": 401}}, BAD_SIGNATURE),
        ({"signed": {"minimum": 1}}, BAD_SIGNATURE),
        ({"signed": {"index": 1}}, BAD_SIGNATURE),
        ({"signed": {"offer": b"\x05" * 32}}, BAD_SIGNATURE),
    ],
)
def test_a_bad_bid_is_skipped_with_its_reason(room, offer, changes, reason):
    assert room.skipped(offer, room.wire(offer, **({"index": 0} | changes))) == [reason]


def test_a_price_at_the_limit_and_the_largest_quantity_are_taken(room, offer):
    assert room.skipped(offer, room.wire(offer, 0, price=LIMIT_PRICE, quantity=LARGEST_WH, minimum=LARGEST_WH)) == []


def test_another_owners_signature_is_refused(room, offer):
    assert room.skipped(offer, room.wire(offer, 0, signer=room.stage.owners[1])) == [BAD_SIGNATURE]


def test_a_signature_with_the_high_s_is_refused(room, offer):
    wire = room.wire(offer, 0)
    r, vs = wire[12:44], int.from_bytes(wire[44:], "big")
    parity, s = vs >> 255, vs & (1 << 255) - 1
    high = (CURVE_ORDER - s) & (1 << 255) - 1  # it does not even fit: its top bit is where the parity stands
    forged = wire[:12] + r + ((1 - parity) << 255 | high).to_bytes(32, "big")
    assert room.skipped(offer, forged) == [BAD_SIGNATURE]
    assert room.skipped(offer, wire[:12] + bytes(64)) == [BAD_SIGNATURE]


def test_a_seat_that_closes_before_the_interval_does_not_bid(room, offer):
    stage = room.stage
    stage.registry.closeSeat(stage.seat(1), stage.interval, {"from": stage.operator})
    assert room.skipped(offer, room.wire(offer, 1)) == [SEAT_NOT_ACTIVE]


def test_a_bid_stays_within_the_seats_cover(room):
    offer = room.opened_internally(limit_price_ueur_kwh=2**29 - 1, quantity=100)
    cover_ueur = room.stage.registry.seatOf(room.stage.seat(0))["coverCents"] * 10_000
    price = 2**29 - 1
    largest = (cover_ueur * 2000 + 1999) // (3 * price)
    assert room.skipped(offer, room.wire(offer, 0, price=price, quantity=largest + 1)) == [BEYOND_COVER]
    assert room.skipped(offer, room.wire(offer, 0, price=price, quantity=largest)) == []


def test_the_sell_side_turns_the_limit_around(room):
    offer = room.opened_internally(side=SELL)
    assert room.skipped(offer, room.wire(offer, 0, price=LIMIT_PRICE - 1)) == [PRICE_BEYOND_LIMIT]
    assert room.skipped(offer, room.wire(offer, 0, price=LIMIT_PRICE)) == []


# REVISIONS AND WITHDRAWALS


def test_a_bid_is_revised_once_and_then_only_withdrawn(room, offer):
    room.bid(offer, 0)
    assert room.skipped(offer, room.wire(offer, 0)) == [WRONG_REVISION]  # the same bid again
    assert room.skipped(offer, room.wire(offer, 0, quantity=300, revision=1)) == []
    assert room.skipped(offer, room.wire(offer, 0, quantity=200, revision=2)) == [QUANTITY_OUT_OF_RANGE]
    assert room.skipped(offer, room.wire(offer, 0, quantity=0, revision=2)) == []
    assert room.skipped(offer, room.wire(offer, 0, quantity=0, revision=3)) == [WRONG_REVISION]
    assert room.auction.postsOf(offer, 0) == 3
    assert room.auction.postsOf(offer, 1) == 0


def test_the_last_post_needs_the_owners_own_signature(room, offer):
    stage = room.stage
    seat_delegate(room)
    delegate = {"signer": stage.delegate}
    assert room.skipped(offer, room.wire(offer, 0, **delegate)) == []
    assert room.skipped(offer, room.wire(offer, 0, revision=1, **delegate)) == []
    assert room.skipped(offer, room.wire(offer, 0, quantity=0, revision=2, **delegate)) == [OWNER_SIGNATURE_REQUIRED]
    assert room.skipped(offer, room.wire(offer, 0, quantity=0, revision=2)) == []


# DELEGATES


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quantity": 501}, QUANTITY_OUT_OF_RANGE),
        ({"price": 149_999}, PRICE_BELOW_DELEGATE_LIMIT),
    ],
)
def test_a_delegate_stays_within_its_limits(room, offer, changes, reason):
    seat_delegate(room)
    assert room.skipped(offer, room.wire(offer, 0, signer=room.stage.delegate, **changes)) == [reason]
    assert room.skipped(offer, room.wire(offer, 0, signer=room.stage.delegate)) == []


def test_a_delegate_stays_within_its_cover(room, offer):
    seat_delegate(room, cover_cents=1)
    assert room.skipped(offer, room.wire(offer, 0, signer=room.stage.delegate)) == [BEYOND_COVER]
    assert room.skipped(offer, room.wire(offer, 0, signer=room.stage.delegate, quantity=33)) == []


def test_the_owner_bids_beside_a_delegate_within_the_seats_limits(room, offer):
    seat_delegate(room)
    assert room.skipped(offer, room.wire(offer, 0, price=1000, quantity=LARGEST_WH + 1)) == [QUANTITY_OUT_OF_RANGE]
    assert room.skipped(offer, room.wire(offer, 0, price=1000, quantity=LARGEST_WH)) == []


def test_a_delegate_expires_at_the_end_of_its_day(room, offer):
    seat_delegate(room, expiry_day=room.stage.before(275) // 86_400 - 1)
    assert room.skipped(offer, room.wire(offer, 0, signer=room.stage.delegate)) == [DELEGATE_EXPIRED]


def test_a_revoked_delegate_bids_no_more(room, offer):
    stage = room.stage
    seat_delegate(room)
    revocation = Delegation(stage.seat(0), "0x" + 40 * "0", 0, 0, 0, 0, 1)
    stage.registry.setDelegate(revocation.arguments(), NO_SIGNATURE, {"from": stage.owners[0]})
    assert room.skipped(offer, room.wire(offer, 0, signer=stage.delegate)) == [BAD_SIGNATURE]


# ONCE SOLD, AND RESERVED


def test_what_won_an_interval_cannot_be_sold_again(room):
    stage = room.stage
    first = room.opened_internally(side=SELL)
    room.bid(first, 0, price=LIMIT_PRICE)
    stage.at(stage.before(345))
    clearing = room.reference(side=1)
    room.clear(first, clearing)
    stage.at(stage.before(305) + 1)
    room.finalise(first, room.awards(clearing))
    assert stage.auction.hasWon(stage.seat(0), stage.interval, 0)
    assert not stage.auction.hasWon(stage.seat(0), stage.interval, 1)
    assert not stage.auction.hasWon(stage.seat(1), stage.interval, 0)
    stage.at(stage.before(300))
    room.signal(YELLOW)
    room.publish()
    second = room.open()
    assert room.skipped(second, room.wire(second, 0), room.wire(second, 1)) == [ALREADY_SOLD]


def test_the_contract_says_who_is_reserved_not_the_bidder(room):
    stage = room.stage
    first = datetime.fromtimestamp(stage.start, UTC)
    month = first.year * 12 + first.month  # the one after the stage's: it has not begun
    terms = CapacityContract(stage.seat(1), CM_CAPACITY, month, 1, 1000, 10, 0)
    stage.capacity_register.registerContract(terms.arguments(), NO_SIGNATURE, {"from": stage.dso})
    room.interval = int(datetime(month // 12, month % 12 + 1, 2, tzinfo=UTC).timestamp())
    offer = room.opened()
    records = bytes(room.post(offer, room.wire(offer, 0), room.wire(offer, 1)).events["BidsPosted"]["records"])
    not_reserved = [int.from_bytes(records[at : at + 12], "big") >> 66 & 1 for at in (0, 12)]
    assert not_reserved == [1, 0]
