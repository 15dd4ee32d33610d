"""Whole settlements on the real contracts agree with the Python reference, award by award and to the micro-euro.

Each example clears an auction, lets every award meet a random fate, and compares all balances with a model of the books
that is filled from market.domain.settlement alone. After every step the books' total is what the model holds, and not
above the tokens held.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from market.chain.deployment import deploy
from market.chain.embedded import start_anvil
from tests.conftest import TEST_EPOCH, taken_by_nobody
from tests.contracts_properties.auction_house import (
    NO_SIGNATURE,
    NODE,
    SPACING,
    U,
)
from tests.contracts_properties.plain_twins import deploy_plain
from tests.contracts_properties.settlement_stories import (
    ANNULLED,
    DISMISSED,
    UPHELD,
    SettlingHouse,
    Story,
    annul,
    command,
    expire,
    hold,
    settle,
    settle_commands,
    settling,
    stories,
    trade,
)


@pytest.fixture(scope="module", params=[deploy, deploy_plain], ids=["product", "plain twins"])
def house(request: pytest.FixtureRequest) -> Iterator[SettlingHouse]:
    """The product, and what its plain twins make of it: both end each story as the reference says."""
    limited = request.param is deploy
    with start_anvil(taken_by_nobody(), timestamp=TEST_EPOCH, limited=limited) as chain:
        yield settling(SettlingHouse.build(chain, request.param))


@pytest.mark.timeout(1500)  # whole auctions on a node: minutes where the machine is busy
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(stories())
def test_every_award_is_settled_as_the_reference_says(house: SettlingHouse, story: Story) -> None:
    id_, offer, awards = trade(house, story)
    house.next_interval += SPACING  # room for the reading deadline before the next example begins
    interval = offer.interval
    if story.red:
        red = (NODE, interval, 2, 0, bytes(32), 2)
        house.send(house.signals.functions.setSignal(red, NO_SIGNATURE), house.dso)
    house.assert_total()
    house.at(interval + U // 2)
    if story.red_in_delivery:
        red = (NODE, interval, 2, 1, bytes(32), 1)
        house.send(house.signals.functions.setSignal(red, NO_SIGNATURE), house.dso)
        command(house, story, interval, awards)
        house.assert_total()

    house.at(interval + 2 * U)
    for ordinal, award in enumerate(awards):
        if story.fates[ordinal].end == ANNULLED:
            annul(house, interval, award)
        elif story.fates[ordinal].end in (UPHELD, DISMISSED):
            hold(house, story, id_, awards, ordinal)
    house.assert_total()

    settle(house, story, id_, interval, awards)
    house.assert_total()
    house.at(interval + 4 * U)
    expire(house, story, id_, awards)
    house.assert_total()
    settle_commands(house, story, id_, interval, awards)
    house.assert_total()
    house.assert_balances(id_)
