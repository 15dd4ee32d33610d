"""A settlement that would rest on other terms, parties or roots than those with which the offer became final."""

from __future__ import annotations

import pytest

from market.domain.trees import award_root
from tests.attacks.arena import Arena, Outcome
from tests.attacks.submission import Binding, settle_call
from tests.contracts_properties.auction_house import U

PRICE_BITS, STATUS_BITS = 64, 248
FINAL = 3


def others(arena: Arena, bound: Binding) -> dict[str, Binding]:
    """The attacker as payer who is refunded, as aggregator who has the margin; a dearer request; another interval."""
    terms, payer, aggregator, *rest = bound
    return {
        "payer": (terms, arena.attacker, aggregator, *rest),
        "aggregator": (terms, payer, arena.attacker, *rest),
        "request's price": (terms + (1 << PRICE_BITS), payer, aggregator, *rest),
        "no request": (terms & ~(0xFFFF_FFFF << PRICE_BITS), payer, aggregator, *rest),
        "side": (terms ^ 1 << 240, payer, aggregator, *rest),
        "direction": (terms ^ 1 << 232, payer, aggregator, *rest),
        "portfolio": (terms ^ 1 << 192, payer, aggregator, *rest),
        "node": (terms ^ 1 << 160, payer, aggregator, *rest),
        "interval": (terms - (U << 128), payer, aggregator, *rest),
    }


@pytest.mark.parametrize(
    "what",
    ["payer", "aggregator", "request's price", "no request", "side", "direction", "portfolio", "node", "interval"],
)
def test_a_forged_binding_settles_nothing(arena: Arena, honest_outcome: Outcome, what: str) -> None:
    """Awards have their marks under the hash of the right binding alone."""
    offer = arena.final()
    arena.at(arena.interval + U)
    forged = others(arena, arena.binding(offer))[what]
    call = settle_call(arena.settlement, arena.submission(offer, arena.delivery(offer)), forged)
    arena.refuse(call, arena.oracle, "WrongBinding", offer="0x" + offer.hex())
    assert arena.conclude(offer) == honest_outcome


def test_a_forged_binding_settles_nothing_once_more(arena: Arena) -> None:
    """What has been settled under the right binding is not paid again under another."""
    offer = arena.final()
    arena.at(arena.interval + U)
    submission = arena.submission(offer, arena.delivery(offer))
    arena.send(settle_call(arena.settlement, submission), arena.oracle)
    for forged in others(arena, arena.binding(offer)).values():
        call = settle_call(arena.settlement, submission, forged)
        arena.refuse(call, arena.oracle, "WrongBinding", offer="0x" + offer.hex())


def test_a_result_that_is_not_final_is_bound_to_nothing(arena: Arena) -> None:
    """A binding that says so, with the right roots, too early: RED or a verdict may still change the result."""
    offer = arena.cleared()
    arena.at(arena.interval + U)
    terms, payer, aggregator, count, _, baselines = arena.binding(offer)
    awards = arena.clearing(offer).awards
    final = terms & ~(0xFF << STATUS_BITS) | FINAL << STATUS_BITS
    forged = (final, payer, aggregator, count, award_root(awards), baselines)
    call = settle_call(arena.settlement, arena.submission(offer, arena.delivery(offer)), forged)
    arena.refuse(call, arena.oracle, "OfferNotFinal", offer="0x" + offer.hex())
