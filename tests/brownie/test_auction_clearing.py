"""MeritOrderAuction: clearing by claims, verdicts, clearing again, final results."""

import pytest
from auction_room import (
    CLEARED,
    FINAL,
    LIMIT_PRICE,
    OFFERED,
    OPEN,
    RED,
    REQUEST_PRICE,
    REQUESTED,
    SELL,
    YELLOW,
    Room,
    fund,
)
from brownie import reverts
from stage import EUR, NODE, PORTFOLIO, U, thrown

from market.domain.claim_check import check_chunk
from market.domain.merit_order import claim_of, posts_by_index
from market.domain.products import Side
from market.domain.records import pack_awards, pack_bids, rejected_bitmap
from market.domain.trees import award_root

NO_MARGINAL = 2**64 - 1


@pytest.fixture(scope="module")
def funded(stage):
    fund(stage)
    return stage


@pytest.fixture
def room(funded):
    return Room(funded)


@pytest.fixture
def offer(room):
    """Bids of 400, 500 and 900 Wh on 1000 Wh, ready to be cleared: the third wins 100 Wh."""
    offer = room.opened()
    for index, quantity in enumerate((400, 500, 900)):
        room.bid(offer, index, price=100_000 * (index + 1), quantity=quantity)
    room.at(140)
    return offer


@pytest.fixture
def cleared(room, offer):
    room.clear(offer)
    return offer


def root_of(room, offer):
    return bytes(room.auction.stateOf(offer)["awardsRoot"])


# CLEARING


def test_better_bids_win_whole_and_the_marginal_wins_the_rest(room, offer):
    event = room.clear(offer).events["Cleared"]
    clearing = room.reference()
    assert [award.quantity for award in clearing.awards] == [400, 500, 100]
    assert bytes(event["awardsRoot"]) == root_of(room, offer) == award_root(clearing.awards)
    assert event["awarded"] == OFFERED
    assert event["awardCount"] == 3
    assert not event["again"]
    assert room.status(offer) == CLEARED


def test_the_sell_side_awards_the_dearest_first(room):
    offer = room.opened_internally(side=SELL)
    for index in range(3):
        room.bid(offer, index, price=LIMIT_PRICE + index, quantity=400)
    room.at(345)
    clearing = room.reference(side=Side.SELL)
    room.clear(offer, clearing)
    assert [(award.index, award.quantity) for award in clearing.awards] == [(0, 200), (1, 400), (2, 400)]
    assert root_of(room, offer) == award_root(clearing.awards)


def test_an_offer_without_bids_clears_to_nothing(room):
    offer = room.opened()
    room.at(140)
    room.clear(offer)
    assert room.status(offer) == CLEARED
    assert root_of(room, offer) == bytes(32)


def test_clearing_begins_at_gate_closure(room):
    offer = room.opened()
    room.stage.at(room.before(140) - 1)
    with reverts(thrown("GateOpen", offer, room.before(140))):
        room.clear(offer)


def test_clearing_ends_before_the_verdict_must(room, offer):
    deadline = room.before(140) + U * 40 // 100
    room.stage.at(deadline + 1)
    with reverts(thrown("ClearTooLate", offer, deadline)):
        room.clear(offer)


def test_nothing_is_cleared_on_red(room, offer):
    room.signal(RED)
    with reverts(thrown("NodeIsRed", NODE, room.interval)):
        room.clear(offer)


@pytest.mark.parametrize(
    ("claim", "rule"),
    [
        (lambda third: (third, 100, [7]), 1),  # a passed-over rank that is no bid's
        (lambda third: (third - 1, 100, []), 1),  # a marginal that is no bid's
        (lambda third: (NO_MARGINAL, 0, [third]), 2),  # passed over although its minimum would fit
        (lambda third: (NO_MARGINAL, 0, []), 3),  # more than was asked
        (lambda third: (third, 99, []), 4),  # the marginal wins less than the rest
        (lambda third: (third, 901, []), 4),  # or more than it bid
        (lambda third: (third, 0, []), 5),  # nobody may be left out before sixteen were passed over
    ],
)
def test_a_false_claim_names_the_rule_that_it_breaks(room, offer, claim, rule):
    third = room.bids[2].rank(Side.BUY)
    with reverts(thrown("FalseClaim", offer, rule)):
        room.clear(offer, claim=claim(third))
    assert room.status(offer) == OPEN


def test_without_a_marginal_there_is_no_marginal_quantity(room):
    offer = room.opened()
    room.bid(offer, 0)
    room.at(140)
    with reverts(thrown("FalseClaim", offer, 6)):
        room.clear(offer, claim=(NO_MARGINAL, 1, []))


def test_a_bid_is_passed_over_only_for_its_minimum(room):
    offer = room.opened()
    room.bid(offer, 0, price=100_000, quantity=800)
    room.bid(offer, 1, price=150_000, quantity=500, minimum=300)
    room.bid(offer, 2, price=200_000, quantity=500)
    room.at(140)
    clearing = room.reference()
    assert [(award.index, award.quantity) for award in clearing.awards] == [(0, 800), (2, 200)]
    assert clearing.passed_over == (room.bids[1].rank(Side.BUY),)
    room.clear(offer, clearing)
    assert root_of(room, offer) == award_root(clearing.awards)


def test_a_withdrawn_bid_wins_nothing_and_a_revised_one_as_revised(room):
    offer = room.opened()
    room.bid(offer, 0, price=100_000, quantity=400)
    room.bid(offer, 1, price=100_000, quantity=400)
    room.bid(offer, 0, price=100_000, quantity=0, revision=1)
    room.bid(offer, 1, price=250_000, quantity=300, revision=1)
    room.at(140)
    clearing = room.reference()
    assert [(award.position, award.quantity) for award in clearing.awards] == [(3, 300)]
    room.clear(offer, clearing)
    assert root_of(room, offer) == award_root(clearing.awards)


@pytest.mark.parametrize(
    ("passed_over", "error"),
    [(list(range(17)), thrown("TooManyPassedOver", 17)), ([1, 5, 5], thrown("PassedOverNotSorted", 2))],
)
def test_a_misshapen_claim_is_refused(room, offer, passed_over, error):
    with reverts(error):
        room.clear(offer, claim=(NO_MARGINAL, 0, passed_over))


# RECORDS AND CHUNKS


@pytest.mark.parametrize("length", [0, 11, 35])
def test_records_are_whole(room, offer, length):
    with reverts(thrown("MalformedRecords", length)):
        room.clear(offer, records=room.records()[:length])


def test_other_records_than_those_posted_are_refused(room, offer):
    posted = bytes(room.auction.stateOf(offer)["chain"])
    swapped = [room.bids[1], room.bids[0], room.bids[2]]
    progress, _ = check_chunk(Side.BUY, claim_of(room.reference()), swapped, posts_by_index(swapped))
    with reverts(thrown("WrongRecords", offer, posted, progress.chain)):
        room.clear(offer, records=pack_bids(swapped))


def test_a_clearing_goes_on_where_its_chunk_ended(room, offer):
    clearing = room.reference()
    claim, posts = claim_of(clearing), posts_by_index(room.bids)
    event = room.clear(offer, records=pack_bids(room.bids[:2])).events["ClearingProgressed"]
    assert event["position"] == 2
    assert room.status(offer) == OPEN
    progress, _ = check_chunk(Side.BUY, claim, room.bids[:2], posts)
    given = (
        progress.chain,
        progress.position,
        progress.better,
        list(progress.better_than_passed),
        progress.seen,
        list(progress.minima),
        progress.award_count,
        progress.pending,
        list(progress.peaks),
    )
    rest = pack_bids(room.bids[2:])
    forged = (*given[:2], 399, *given[3:])
    with reverts(thrown("WrongProgress", offer)):
        room.clear(offer, records=rest, progress=forged)
    with reverts(thrown("WrongProgress", offer)):  # reached under another claim
        room.clear(offer, records=rest, progress=given, claim=(NO_MARGINAL, 0, []))
    # A chunk of other records under the same claim takes nothing from the honest one.
    room.clear(offer, records=pack_bids(room.bids[1:2]))
    room.clear(offer, records=rest, progress=given)
    assert root_of(room, offer) == award_root(clearing.awards)


# VERDICT AND CLEARING AGAIN


def test_a_result_is_cleared_once_without_a_verdict(room, cleared):
    with reverts(thrown("WrongStatus", cleared, CLEARED)):
        room.clear(cleared)
    with reverts(thrown("WrongRejected", cleared)):
        room.clear(cleared, rejected=b"\x01")


def test_the_first_clearing_rejects_nothing(room, offer):
    with reverts(thrown("WrongRejected", offer)):
        room.clear(offer, rejected=b"\x01")


def test_clearing_again_leaves_the_rejected_out(room, cleared):
    rejected = rejected_bitmap({0})
    room.verdict(cleared, rejected)
    clearing = room.reference(rejected={0})
    with reverts(thrown("WrongRejected", cleared)):
        room.clear(cleared, clearing, rejected=b"\x02")
    assert room.clear(cleared, clearing, rejected=rejected).events["Cleared"]["again"]
    assert [(award.index, award.quantity) for award in clearing.awards] == [(1, 500), (2, 500)]
    with reverts(thrown("WrongStatus", cleared, CLEARED)):
        room.clear(cleared, clearing, rejected=rejected)
    assert room.auction.finalAt(cleared) == room.before(140)  # at once
    room.finalise(cleared, room.awards(clearing))
    assert root_of(room, cleared) == award_root(clearing.awards)


def test_clearing_again_is_possible_a_little_longer(room, cleared):
    room.verdict(cleared, b"\x01")
    deadline = room.before(140) + U * 45 // 100
    room.stage.at(deadline)
    with reverts(thrown("ClearTooLate", cleared, deadline)):
        room.clear(cleared, room.reference(rejected={0}), rejected=b"\x01")


def test_a_verdict_that_nobody_cleared_again_takes_its_awards_away(room, cleared):
    clearing = room.reference()
    room.verdict(cleared, b"\x01")
    final_at = room.before(140) + U * 45 // 100
    with reverts(thrown("NotFinalYet", cleared, final_at)):
        room.finalise(cleared, rejected=b"\x01")
    room.stage.at(final_at)
    with reverts(thrown("WrongRejected", cleared)):
        room.finalise(cleared)
    event = room.finalise(cleared, rejected=b"\x01").events["Finalised"]
    standing = clearing.awards[1:]
    assert bytes(event["awards"]) == pack_awards(standing)
    assert root_of(room, cleared) == award_root(standing)
    assert not room.auction.hasWon(room.stage.seat(0), room.interval, 0)
    assert room.auction.hasWon(room.stage.seat(1), room.interval, 0)


# FINAL RESULTS


def test_silence_accepts_after_the_verdicts_deadline(room, cleared):
    final_at = room.before(140) + U * 40 // 100 + 1
    assert room.auction.finalAt(cleared) == final_at
    room.stage.at(final_at - 1)
    with reverts(thrown("NotFinalYet", cleared, final_at)):
        room.finalise(cleared)
    room.stage.at(final_at)
    room.finalise(cleared)
    assert room.status(cleared) == FINAL


def test_a_verdict_that_rejects_nothing_makes_the_result_final_at_once(room, cleared):
    room.verdict(cleared, b"")
    room.finalise(cleared)
    assert room.status(cleared) == FINAL


def test_what_was_not_awarded_goes_back_to_the_request(room):
    stage, offer = room.stage, room.opened()
    room.bid(offer, 0, price=100_000, quantity=333)
    room.at(140)
    room.clear(offer)
    room.verdict(offer, b"")
    event = room.finalise(offer).events["Finalised"]
    reserve = 333 * REQUEST_PRICE // 1000
    request = room.id_of(room.request())
    assert event["escrowUeur"] == stage.settlement.escrowOf(offer) == reserve
    assert event["freedUeur"] == OFFERED * REQUEST_PRICE // 1000 - reserve
    assert room.request_escrow(request) == REQUESTED * REQUEST_PRICE // 1000 - reserve
    assert room.auction.availableOf(request, room.interval) == REQUESTED - 333
    assert int.from_bytes(room.auction.pendingOffer(PORTFOLIO, room.interval, 0), "big") == 0


def test_an_internal_purchase_reserves_what_was_bid(room):
    stage, offer = room.stage, room.opened_internally()
    room.bid(offer, 0, price=100_001, quantity=333)
    room.at(345)
    room.clear(offer)
    room.verdict(offer, b"")
    room.finalise(offer)
    reserve = 333 * 100_001 // 1000
    assert stage.settlement.escrowOf(offer) == reserve
    assert stage.settlement.balanceOf(stage.aggregator) == 1000 * EUR - reserve


def test_other_awards_than_those_cleared_are_refused(room, cleared):
    room.verdict(cleared, b"")
    awards = room.awards()
    forged = awards[:-12]
    with reverts(thrown("WrongAwards", cleared, award_root(awards), award_root(forged))):
        room.finalise(cleared, forged)


def test_nothing_becomes_final_on_red(room, cleared):
    room.verdict(cleared, b"")
    room.signal(RED)
    with reverts(thrown("NodeIsRed", NODE, room.interval)):
        room.finalise(cleared)
    room.signal(YELLOW)
    room.finalise(cleared)


def test_nothing_becomes_final_once_delivery_would_begin(room, cleared):
    room.stage.at(room.interval)
    with reverts(thrown("ClearTooLate", cleared, room.interval)):
        room.finalise(cleared)


def test_a_result_becomes_final_once(room, cleared):
    room.verdict(cleared, b"")
    with reverts(thrown("WrongStatus", cleared, FINAL)):
        room.finalise(cleared)
        room.finalise(cleared)


def test_an_offer_that_is_not_cleared_is_not_final(room, offer):
    with reverts(thrown("WrongStatus", offer, OPEN)):
        room.finalise(offer)
    with reverts(thrown("UnknownOffer", b"\x05" * 32)):
        room.auction.finalAt(b"\x05" * 32)
