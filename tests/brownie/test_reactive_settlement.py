"""Awards of reactive energy [varh] are settled by it alone, whichever way the reading takes."""

from dataclasses import replace

import pytest
from stage import U
from trade import BASELINES, SETTLED_AT, Trade

from market.domain.products import Direction, Product
from market.domain.settled_records import ANNOUNCED
from market.domain.settlement import settle_award

DELIVERED_VARH = 170
"""Of 200: short, so that pay and penalty show how much was counted."""


def by_the_verifier(trade):
    return trade.settle((1, DELIVERED_VARH))


def by_the_verifier_alone(trade):
    return trade.settle_award(1, DELIVERED_VARH)


def as_announced(trade):
    stage = trade.stage
    trade.announce(1, DELIVERED_VARH)
    stage.at(trade.interval + U * SETTLED_AT // 100 + stage.settlement.holdWindowS())
    unsigned = replace(trade.reading(1, DELIVERED_VARH), signature=ANNOUNCED)
    return trade.settle(readings=[unsigned], sender=stage.stranger)


@pytest.mark.parametrize("direction", [Direction.UP, Direction.DOWN])
@pytest.mark.parametrize("way", [by_the_verifier, by_the_verifier_alone, as_announced])
def test_an_award_of_reactive_energy_is_settled_by_it_alone(stage, way, direction):
    trade = Trade(stage, product=Product.VC_REALTIME, direction=direction)
    bond_ueur = stage.settlement.bondOf(stage.seat(1))[0]
    trade.to_settling()
    (result,) = trade.results(way(trade))
    expected = settle_award(trade.terms(1), BASELINES[1], trade.metered(1, DELIVERED_VARH))
    assert (result.outcome, result.delivered) == (expected.outcome, DELIVERED_VARH)
    assert (result.baseline, result.metered) == (BASELINES[1], trade.metered(1, DELIVERED_VARH))
    assert stage.settlement.seatBalance(stage.seat(1)) == expected.paid_ueur
    assert stage.settlement.bondOf(stage.seat(1))[0] == bond_ueur - expected.penalty_ueur
