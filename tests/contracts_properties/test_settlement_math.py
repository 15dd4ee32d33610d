"""The contracts' arithmetic of settlement and the Python reference agree on random awards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from web3.contract import Contract

from market.chain.embedded import EmbeddedChain
from market.domain.products import Direction, Side
from market.domain.records import AwardRecord
from market.domain.settled_records import MAX_ORDINAL, AwardResult, unpack_results
from market.domain.settlement import (
    AwardSettlement,
    AwardTerms,
    cover_cents,
    interrupted,
    settle_annulled,
    settle_award,
    settle_hold_upheld,
    settle_missing,
    settle_revoked,
)
from tests.contracts_properties.harness import create_harness
from tests.contracts_properties.plain_twins import twins

MAX_PRICE = 2**29 - 1
ENERGY = st.one_of(st.integers(-3000, 3000), st.integers(-(2**31), 2**31 - 1))
ON_A_NODE = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@pytest.fixture(scope="module", params=[{}, twins()], ids=["product", "plain twins"])
def harness(module_anvil: EmbeddedChain, request: pytest.FixtureRequest) -> Contract:
    return create_harness(module_anvil, Path(__file__).with_name("SettlementMathHarness.sol"), request.param)


@st.composite
def award_terms(draw: st.DrawFn) -> AwardTerms:
    side = draw(st.sampled_from(Side))
    direction = draw(st.sampled_from(Direction))
    awarded = draw(st.one_of(st.integers(1, 2500), st.integers(1, 2**24 - 1)))
    bid = draw(st.integers(1, MAX_PRICE))
    answers_request = side is Side.BUY and draw(st.booleans())
    return AwardTerms(side, direction, awarded, bid, draw(st.integers(bid, MAX_PRICE)) if answers_request else None)


@st.composite
def metered_awards(draw: st.DrawFn) -> tuple[AwardTerms, int, int]:
    """Terms, baseline and metered energy, often such that the delivery is near the award or the tolerance."""
    terms, baseline = draw(award_terms()), draw(ENERGY)
    near = draw(st.sampled_from([terms.awarded, terms.awarded * 900 // 1000, 0])) + draw(st.integers(-2, 2))
    metered = baseline - near * terms.direction.sign
    if not -(2**31) <= metered < 2**31 or draw(st.booleans()):
        metered = draw(ENERGY)
    return terms, baseline, metered


def as_case(terms: AwardTerms, baseline: int, metered: int, ordinal: int) -> tuple[Any, ...]:
    award = AwardRecord(terms.bid_price_ueur_kwh, terms.awarded, position=0, index=0)
    request_price = terms.request_price_ueur_kwh or 0
    return int(terms.side), int(terms.direction), award.pack(), ordinal, request_price, baseline, metered


def as_result(settlement: AwardSettlement, ordinal: int) -> AwardResult:
    baseline, metered = settlement.baseline or 0, settlement.metered or 0
    return AwardResult(ordinal, settlement.outcome, settlement.delivered, baseline, metered)


def as_amounts(settlement: AwardSettlement) -> tuple[int, ...]:
    spent_ueur = settlement.reserve_ueur - settlement.refunded_ueur
    return settlement.reserve_ueur, spent_ueur, settlement.paid_ueur, settlement.penalty_ueur


@settings(max_examples=300, **ON_A_NODE)
@given(metered_awards(), st.integers(0, MAX_ORDINAL))
@example((AwardTerms(Side.BUY, Direction.UP, 2**24 - 1, MAX_PRICE), 2**31 - 1, -(2**31)), MAX_ORDINAL)
@example((AwardTerms(Side.BUY, Direction.DOWN, 2**24 - 1, MAX_PRICE), -(2**31), 2**31 - 1), 0)
def test_awards_end_as_the_reference_says(harness: Contract, award: tuple[AwardTerms, int, int], ordinal: int) -> None:
    terms = award[0]
    results, amounts = harness.functions.settle(as_case(*award, ordinal)).call()
    read, missing = settle_award(*award), settle_missing(terms)
    others = (end(terms) for end in (settle_revoked, settle_annulled, settle_hold_upheld))
    by_reference = [read, missing, *others, interrupted(read), interrupted(missing)]
    assert unpack_results(results) == [as_result(end, ordinal) for end in by_reference]
    assert [tuple(each[:-1]) for each in amounts] == [as_amounts(end) for end in by_reference]
    # After a hold, only an end without a reading waits for the readings' deadline: a shortfall by a reading does not.
    assert [each[-1] for each in amounts] == [False, True, False, False, False, False, True]


@settings(max_examples=40, **ON_A_NODE)
@given(st.integers(0, 2**24 * 80_000))
def test_the_cover_is_an_eighth_of_the_bond_in_whole_cents(harness: Contract, bond: int) -> None:
    assert harness.functions.coverCents(bond).call() == min(cover_cents(bond), 2**24 - 1)
