"""An award that its aggregator pays very dearly, and then RED and a command of far more energy, which the DSO pays.

The limit price of an INTERNAL offer is its aggregator's affair: seat 1 is awarded 12 Wh at the highest price there is.
"""

from __future__ import annotations

import pytest

from market.domain.records import BidRecord
from market.domain.units import MAX_PRICE_UEUR_KWH
from tests.attacks.arena import EMERGENCY_PRICE, REQUEST_PRICE, Arena
from tests.attacks.test_late_commands import announcing, command_settling, commanding
from tests.contracts_properties.auction_house import U

FEW, AWARDED, COMMANDED = 12, 400, 2000


def settle_both(arena: Arena, offer: bytes) -> int:
    """The command is obeyed, and the award read; what the DSO paid or owes for it. [micro-euro]"""
    commanding(arena, COMMANDED)
    reserved, before = COMMANDED * EMERGENCY_PRICE // 1000, arena.balance(arena.dso)
    arena.at(arena.interval + U)
    announcing(arena, COMMANDED)
    arena.send(command_settling(arena, offer, COMMANDED), arena.oracle)
    paid = reserved + before - arena.balance(arena.dso)
    arena.send(arena.settling(offer, {1: COMMANDED}), arena.oracle)
    arena.assert_solvent()
    return int(paid + arena.settlement.functions.debtOf(arena.dso).call())


@pytest.mark.parametrize(("seconds", "has_begun"), [(-1, False), (U // 2, True)])
def test_what_friends_agreed_on_makes_no_command_dearer(arena: Arena, seconds: int, has_begun: bool) -> None:
    """An award that has begun is its aggregator's to pay; it is more than the command is worth."""
    offer = arena.opened_internally(quantity=FEW, limit_price_ueur_kwh=MAX_PRICE_UEUR_KWH)
    arena.send(arena.posting(offer, arena.wired(offer, BidRecord(MAX_PRICE_UEUR_KWH, FEW, 0, 1))), arena.relayer)
    arena.at_before(345)
    arena.send(arena.rightly(offer), arena.relayer)
    arena.finalise(offer)
    arena.at(arena.interval + seconds)
    due, pay = COMMANDED * EMERGENCY_PRICE // 1000, FEW * MAX_PRICE_UEUR_KWH // 1000
    assert settle_both(arena, offer) == (0 if has_begun else due)
    assert arena.seat_balance(1) == (pay if has_begun else due)


def test_the_price_of_a_requests_award_counts_for_its_own_energy(arena: Arena) -> None:
    offer = arena.opened(limit_price_ueur_kwh=REQUEST_PRICE)
    arena.send(arena.posting(offer, arena.wired(offer, BidRecord(REQUEST_PRICE, AWARDED, 0, 1))), arena.relayer)
    arena.at_before(140)
    arena.send(arena.rightly(offer), arena.relayer)
    arena.finalise(offer)
    arena.at(arena.interval - 1)
    assert REQUEST_PRICE > EMERGENCY_PRICE
    due = (AWARDED * REQUEST_PRICE + (COMMANDED - AWARDED) * EMERGENCY_PRICE) // 1000
    assert settle_both(arena, offer) == due
    assert arena.seat_balance(1) == due
