"""A bidder begins to take its bond out right after its bid: the bond answers for the award all the same, however late.

The worst case: the offer opens as early as the contract lets it, the award is announced in the last second, held when
its window ends, the referee is silent, and in the end there is no reading.
"""

from __future__ import annotations

from market.domain.messages import Unbonding
from market.domain.records import BidRecord
from market.domain.settlement import penalty_ueur
from market.domain.signing import sign_message
from tests.attacks.arena import NO_REQUEST, Arena, gateway_key, nanogrid
from tests.contracts_properties.auction_house import U, owner_key

READING_DEADLINE_S = 4 * U
BID = BidRecord(200_000, 400, 0, 1)


def flee(arena: Arena) -> None:
    """Unbonds everything of seat 1."""
    message = Unbonding(nanogrid(1), arena.bond(1), 0)
    signature = sign_message(owner_key(1), message, arena.settlement_domain).to_bytes()
    arena.send(arena.settlement.functions.startUnbonding(message.arguments(), signature), arena.relayer)


def awarded(arena: Arena) -> bytes:
    """An INTERNAL offer of the earliest moment; its only bidder flees at once. Final."""
    arena.at(arena.far_ahead())
    offer = arena.open_offer(request=NO_REQUEST)
    arena.send(arena.posting(offer, arena.wired(offer, BID)), arena.relayer)
    flee(arena)
    arena.at_before(345)
    arena.send(arena.rightly(offer), arena.relayer)
    arena.at_before(300)
    arena.send(arena.finalising(offer), arena.relayer)
    return offer


def delay_for_as_long_as_can_be(arena: Arena, offer: bytes) -> None:
    """To the first second in which the award expires."""
    settlement = arena.settlement.functions
    arena.at(arena.interval + READING_DEADLINE_S)
    arena.send(arena.announcing(arena.reading(1, 0), gateway_key(1)), arena.anyone)
    arena.at(arena.now + settlement.holdWindowS().call() + READING_DEADLINE_S)
    arena.send(arena.holding(offer, 0), arena.aggregator)
    arena.at(arena.now + settlement.holdTermS().call() + 1)
    arena.send(settlement.lapseHold(offer, 0), arena.anyone)
    arena.at(arena.now + READING_DEADLINE_S + 1)


def test_a_bond_that_flees_right_after_the_bid_pays_the_penalty_of_the_longest_settlement(arena: Arena) -> None:
    offer, before = awarded(arena), arena.settlement.functions.bondOf(nanogrid(1)).call()
    delay_for_as_long_as_can_be(arena, offer)
    withdrawing = arena.settlement.functions.withdrawBond(nanogrid(1))
    _, unbonding_ueur, available_at = before
    assert (
        available_at - arena.now >= READING_DEADLINE_S - 3
    )  # left for whoever ends it; three blocks took a second each
    arena.refuse(withdrawing, arena.anyone, "UnbondingPending", nanogrid=nanogrid(1), availableAt=available_at)
    arena.send(arena.expiring(offer), arena.anyone)
    penalty = penalty_ueur(BID.quantity, 0, BID.price_ueur_kwh)
    assert penalty > 0
    assert arena.settlement.functions.bondOf(nanogrid(1)).call()[:2] == (0, unbonding_ueur - penalty)
    assert arena.settlement.functions.seatDebt(nanogrid(1)).call() == 0
    arena.assert_solvent()
