"""Thousands of bad bids, so that honest ones drown: they survive, and whoever posts rubbish pays for it alone."""

from __future__ import annotations

import random

import pytest
from eth_utils import keccak
from web3 import Web3
from web3.types import TxReceipt

from market.domain.errors import BidRejection
from market.domain.products import Phase
from market.domain.records import BidRecord
from tests.attacks.arena import HONEST_BIDS, LIMIT_PRICE, NO_REASON, Arena, Outcome, nanogrid
from tests.attacks.refusals.settlement import NO_LEAF, withdrawing
from tests.attacks.refusals.signals import commanding
from tests.contracts_properties.auction_house import GAS, PORTFOLIO, SEATS, U, is_reserved, owner_key

GAS_PRICE_WEI = 10**9
BATCH = 1000
"""Bad bids in one transaction: 76,000 bytes, within the 131,072 that the pools of geth's family accept."""
THOUSANDS = 3 * BATCH
DEBTS_PER_DEPOSIT = 32


def bad_bids(count: int) -> list[bytes]:
    """Well-formed bids, each signed by nobody: the dearest ones to refuse, for their signature has to be recovered."""
    rng = random.Random(7)
    r = keccak(text="a point on the curve").rjust(32, b"\0")
    return [
        BidRecord(rng.randint(1, 300_000), rng.randint(1, 900), 0, rng.randint(4, 40)).pack(signed=True)
        + r
        + rng.randbytes(32)
        for _ in range(count)
    ]


def post_and_pay(arena: Arena, offer: bytes, wires: list[bytes]) -> tuple[TxReceipt, int]:
    """Posts as the attacker on a chain where gas costs. The receipt, and what the attacker paid. [wei]"""
    before = arena.web3.eth.get_balance(arena.attacker)
    digest = arena.posting(offer, *wires).transact(
        {"from": arena.attacker, "gas": GAS, "gasPrice": Web3.to_wei(GAS_PRICE_WEI, "wei")}
    )
    receipt = arena.web3.eth.wait_for_transaction_receipt(digest, poll_latency=0.01)
    assert receipt["status"] == 1
    return receipt, before - arena.web3.eth.get_balance(arena.attacker)


def test_thousands_of_bad_bids_cost_their_poster_and_nobody_else(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.opened()
    funds = [arena.web3.eth.get_balance(account) for account in (arena.relayer, arena.aggregator, arena.dso)]
    paid = 0
    for place in range(THOUSANDS // BATCH):
        receipt, cost = post_and_pay(arena, offer, bad_bids(BATCH))
        assert len(arena.skips(receipt)) == BATCH
        assert receipt["from"] == arena.attacker
        assert cost == receipt["gasUsed"] * GAS_PRICE_WEI
        assert receipt["gasUsed"] > BATCH * 4000  # calldata, recovery and event of each are the poster's
        paid += cost
        arena.send(arena.posting(offer, arena.wired(offer, HONEST_BIDS[place])), arena.relayer)
    assert paid > THOUSANDS * 4000 * GAS_PRICE_WEI
    assert len(arena.posted(offer)) == len(HONEST_BIDS)
    assert arena.conclude(offer) == honest_outcome
    assert [arena.web3.eth.get_balance(account) for account in (arena.relayer, arena.aggregator, arena.dso)] == funds


def test_bad_bids_make_no_clearing_dearer(arena: Arena) -> None:
    """What was refused is not in the chain of bids, so that nobody who clears has to replay it."""
    used = []
    for count in (0, BATCH):
        with arena.taken_back():
            offer = arena.opened()
            if count:
                post_and_pay(arena, offer, bad_bids(count))
            arena.send(arena.posting(offer, arena.wired(offer, *HONEST_BIDS)), arena.relayer)
            arena.at_before(140)
            used.append(arena.send(arena.rightly(offer), arena.relayer)["gasUsed"])
    assert used[0] == used[1]


@pytest.mark.parametrize("place", [0, 200, 399])
def test_an_honest_bid_in_the_midst_of_a_bad_batch_survives(arena: Arena, place: int) -> None:
    offer = arena.opened()
    wires = bad_bids(400)
    wires[place] = arena.wired(offer, HONEST_BIDS[0])
    receipt, _ = post_and_pay(arena, offer, wires)
    assert len(arena.skips(receipt)) == 399
    assert [bid.record.index for bid in arena.posted(offer)] == [HONEST_BIDS[0].index]


def test_every_kind_of_bad_bid_leaves_the_rest_of_its_batch(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.opened()
    by_another = arena.wire_by(owner_key(8), offer, BidRecord(100_000, 400, 0, 7))
    batch = [
        by_another,
        arena.wired(offer, HONEST_BIDS[0]),
        arena.wired(offer, BidRecord(300_001, 400, 0, 7)),
        arena.wired(offer, HONEST_BIDS[1]),
        arena.wired(offer, BidRecord(100_000, 400, 0, 7, revision=1)),
        arena.wired(offer, BidRecord(100_000, 0, 0, 7)),
        arena.wired(offer, BidRecord(100_000, 400, 0, 60_000)),
        arena.wired(offer, HONEST_BIDS[2]),
    ]
    receipt, _ = post_and_pay(arena, offer, batch)
    assert arena.skips(receipt) == [
        BidRejection.BAD_SIGNATURE,
        BidRejection.PRICE_BEYOND_LIMIT,
        BidRejection.WRONG_REVISION,
        BidRejection.QUANTITY_OUT_OF_RANGE,
        BidRejection.SEAT_NOT_ACTIVE,
    ]
    assert arena.conclude(offer) == honest_outcome


def test_a_bad_bid_among_ordinary_ones_is_refused_for_what_is_wrong_with_it(arena: Arena) -> None:
    """Seats that are refreshed, and whose words are read, are judged in the quick way: by the same limits."""
    arena.interval += 8 * U  # from the first one on they are active for good
    offer = arena.opened()
    arena.send(arena.registry.functions.refreshSeats([nanogrid(index) for index in range(SEATS)]), arena.anyone)
    ordinary = [BidRecord(LIMIT_PRICE, 400, 400, index) for index in range(5, SEATS)]
    refused = {
        BidRecord(LIMIT_PRICE + 1, 400, 0, 1): BidRejection.PRICE_BEYOND_LIMIT,
        BidRecord(100_000, 0, 0, 2): BidRejection.QUANTITY_OUT_OF_RANGE,
        BidRecord(100_000, 400, 0, 3, revision=1): BidRejection.WRONG_REVISION,
        BidRecord(100_000, 400, 0, 6): BidRejection.WRONG_REVISION,
    }
    receipt = arena.send(arena.posting(offer, arena.wired(offer, *ordinary, *refused)), arena.relayer)
    assert arena.skips(receipt) == [*refused.values()]
    posted = [bid.record for bid in arena.posted(offer)]
    assert [record.index for record in posted] == [bid.index for bid in ordinary]
    assert [record.reserved for record in posted] == [is_reserved(bid.index) for bid in ordinary]


def test_a_bid_beyond_its_cover_binds_nobody(arena: Arena, honest_outcome: Outcome) -> None:
    """Who could not pay the penalty cannot bid: the cover is an eighth of the bond."""
    offer = arena.honest_offer()
    seat = arena.registry.functions.registerSeat(PORTFOLIO, arena.owner(99), 5000, 0, arena.interval)
    arena.send(seat, arena.operator)
    unbonded = arena.wire_by(owner_key(99), offer, BidRecord(1000, 900, 0, SEATS))
    assert arena.skips(arena.send(arena.posting(offer, unbonded), arena.attacker)) == [BidRejection.BEYOND_COVER]
    assert arena.conclude(offer) == honest_outcome


def test_however_many_debts_do_not_stop_a_deposit(arena: Arena) -> None:
    """A deposit pays 32 parts of a debt at most, the oldest first, so that its gas is bounded; the next pays on."""
    arena.send(withdrawing(arena, arena.balance(arena.dso)), arena.dso)
    arena.at_before(410)
    arena.anchor()
    arena.signal(Phase.RED)
    seats = range(DEBTS_PER_DEPOSIT + 1)
    for index in seats:
        arena.send(commanding(arena, nanogrid=nanogrid(index)), arena.dso)
    arena.at(arena.interval + U)
    for index in seats:
        shown = arena.baseline_leaf(index), arena.award_reading(index, 100).argument(), NO_REASON, NO_LEAF
        arena.send(arena.settlement.functions.settleCommand(nanogrid(index), arena.interval, *shown), arena.oracle)
    functions, last = arena.settlement.functions, seats[-1]
    debt = functions.debtOf(arena.dso).call()
    due = debt // len(seats)
    arena.send(arena.token.functions.mint(arena.operator, debt, NO_REASON), arena.operator)
    arena.send(arena.token.functions.approve(arena.settlement.address, debt), arena.operator)
    arena.send(functions.deposit(arena.dso, debt), arena.operator)
    assert [arena.seat_balance(index) for index in seats] == [due] * DEBTS_PER_DEPOSIT + [0]
    assert (functions.debtOf(arena.dso).call(), arena.balance(arena.dso)) == (due, due)
    arena.send(functions.deposit(arena.dso, 0), arena.operator)
    assert (functions.debtOf(arena.dso).call(), arena.seat_balance(last)) == (0, due)
    arena.assert_solvent()
