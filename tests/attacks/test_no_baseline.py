"""A nanogrid that the forecast does not know stands among others that have a baseline, and bids by itself.

Against 0 all that it draws or feeds in as ever would count as delivered. Seat 1 has no baseline; it and seat 2 are
awarded 400 and 600 Wh.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from web3.contract.contract import ContractFunction

from market.domain.products import Direction, Phase
from market.domain.settlement import Outcome as End
from market.domain.trees import baseline_leaf
from market.domain.units import NO_BASELINE
from tests.attacks.arena import HONEST_BIDS, Arena, gateway_key, nanogrid
from tests.attacks.submission import Submission, settle_alone_call, settle_call
from tests.attacks.test_late_commands import commanding, ends
from tests.contracts_properties.auction_house import SEATS, U

BASELINES = (0, NO_BASELINE, *(0,) * (SEATS - 2))
NO_AWARD = bytes(32), (0, b"", ())


def final(arena: Arena, direction: Direction) -> bytes:
    """The honest offer on these baselines."""
    arena.at_before(410)
    arena.anchor(BASELINES)
    arena.at_before(300)
    arena.signal(Phase.YELLOW)
    arena.send(arena.publishing(direction=direction), arena.dso)
    arena.at_before(275)
    request = arena.request(direction=direction).digest(arena.domain)
    offer = arena.open_offer(request=request, direction=direction)
    arena.send(arena.posting(offer, arena.wired(offer, *HONEST_BIDS)), arena.relayer)
    arena.at_before(140)
    arena.send(arena.rightly(offer), arena.relayer)
    arena.finalise(offer)
    arena.at(arena.interval + U)
    return offer


def submission(arena: Arena, offer: bytes, metered: dict[int, int]) -> Submission:
    return replace(arena.submission(offer, metered), baselines=BASELINES)


@pytest.mark.parametrize("settle", [settle_call, settle_alone_call])
@pytest.mark.parametrize("direction", Direction)
def test_what_has_no_baseline_is_paid_nothing_whoever_shows_its_reading(
    arena: Arena, direction: Direction, settle: Callable[..., ContractFunction]
) -> None:
    """In either direction, by the verifier at once or by anyone after the hold window."""
    offer = final(arena, direction)
    metered = -400 * direction.sign
    shown = settle(arena.settlement, submission(arena, offer, {1: metered}))
    arena.refuse(shown, arena.oracle, "WrongBaselines", offer="0x" + offer.hex())
    arena.send(arena.announcing(arena.reading(1, metered), gateway_key(1)), arena.anyone)
    arena.at(arena.now + arena.settlement.functions.holdWindowS().call())
    arena.refuse(shown, arena.anyone, "WrongBaselines", offer="0x" + offer.hex())
    assert arena.seat_balance(1) == 0


def test_what_has_no_baseline_costs_nobody_elses_pay_and_ends_as_one_that_failed(arena: Arena) -> None:
    offer = final(arena, Direction.DOWN)
    both = settle_call(arena.settlement, submission(arena, offer, {1: 400, 2: 600}))
    arena.refuse(both, arena.oracle, "WrongBaselines", offer="0x" + offer.hex())
    arena.send(settle_call(arena.settlement, submission(arena, offer, {2: 600})), arena.oracle)
    assert arena.seat_balance(2) > 0
    arena.at(arena.interval + 4 * U)
    arena.send(arena.expiring(offer), arena.anyone)
    assert ends(arena) == [(0, End.FAILED, 0), (1, End.DELIVERED, 600)]
    arena.assert_solvent()


def test_a_command_without_baseline_is_paid_nothing(arena: Arena) -> None:
    arena.at_before(410)
    arena.anchor(BASELINES)
    commanding(arena, 400)
    arena.at(arena.interval + U)
    leaf = baseline_leaf(BASELINES, 1).argument()
    shown = leaf, arena.award_reading(1, 400).argument(), *NO_AWARD
    settling = arena.settlement.functions.settleCommand(nanogrid(1), arena.interval, *shown)
    arena.refuse(settling, arena.oracle, "WrongBaselines", offer="0x" + bytes(32).hex())
    arena.at(arena.interval + 4 * U)
    arena.send(arena.settlement.functions.expireCommand(nanogrid(1), arena.interval), arena.anyone)
    assert arena.seat_balance(1) == 0
    arena.assert_solvent()
