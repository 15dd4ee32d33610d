"""The aggregator's desk answers each request once, with its margin, within what its portfolio is rated for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from market.desks.aggregator import AggregatorDesk, OfferPolicy, Portfolio, offer_for
from market.desks.desk import Desk
from market.domain.intervals import iso
from market.domain.products import Phase
from tests.chain.world import PORTFOLIO, REQUEST_PRICE_UEUR_KWH, U, before
from tests.cli.conftest import Room
from tests.desks.conftest import T, anchor


@pytest.fixture
def requested(room: Room) -> str:
    """A request of 2,000 Wh for T, at the moment when offers are opened."""
    world = room.world
    world.at(before(T, 410))
    anchor(room, T)
    world.at(before(T, 300))
    world.signal(T, Phase.YELLOW, 1)
    request = world.request(T, [2000])
    world.at(before(T, 275))
    room.market.index()
    return "0x" + request.hex()


def desk_with(desk: Desk, permille: int = 850) -> AggregatorDesk:
    return AggregatorDesk(desk, OfferPolicy(permille))


def test_a_request_is_answered_once_with_the_limit_price_that_leaves_the_margin(
    requested: str, desk_of: Callable[[str], Desk]
) -> None:
    for _ in range(2):
        desk_with(desk_of("aggregator")).open_offers(T)
    [offer] = desk_of("aggregator").client.items("/v1/offers", interval=T)
    assert (offer["request"], offer["portfolio"], offer["quantity"]) == (requested, PORTFOLIO, 2000)
    assert offer["limit_price_ueur_kwh"] == REQUEST_PRICE_UEUR_KWH * 850 // 1000
    assert offer["gate_closure"] == before(T, 140), iso(T)


@pytest.mark.usefixtures("requested")
def test_another_aggregator_answers_nothing_for_a_portfolio_that_is_not_its_own(
    desk_of: Callable[[str], Desk],
) -> None:
    stranger = desk_with(desk_of("stranger"))
    assert stranger.portfolios() == []
    stranger.open_offers(T)
    assert list(desk_of("aggregator").client.items("/v1/offers", interval=T)) == []


@pytest.mark.usefixtures("requested")
def test_a_refused_offer_stops_neither_the_desk_nor_later_ones(room: Room, desk_of: Callable[[str], Desk]) -> None:
    room.world.at(before(T, 139))
    desk_with(desk_of("aggregator")).open_offers(T)
    assert list(desk_of("aggregator").client.items("/v1/offers", interval=T)) == []


@pytest.mark.parametrize(
    ("available", "rated_w", "quantity"), [(2000, 100_000, 2000), (2000, 4_000, 1000), (0, 100_000, None)]
)
def test_an_offer_is_for_what_is_left_and_no_more_than_the_portfolio_is_rated_for(
    available: int, rated_w: int, quantity: int | None
) -> None:
    request = {
        "id": "0x" + "ab" * 32,
        "direction": 1,
        "product": 0,
        "price_ueur_kwh": 300_001,
        "intervals": [{"interval": T, "available": available}],
    }
    offer = offer_for(request, T, Portfolio(PORTFOLIO, 7, rated_w), OfferPolicy(), before(T, 140), U)
    assert (None if offer is None else offer.quantity) == quantity
    if offer is not None:
        assert offer.limit_price_ueur_kwh == 255_000, "rounded down"
