"""The bidding policy: what is offered, for how much, and what is kept for the owner."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_agent.drivers import DeviceFlexibility, FlexibilityForecast
from gateway_agent.planner import Declined, OpenOffer, Planned, Policy, plan_bid, pledges_of
from market.domain.products import Direction, Product, Side
from tests.gateway_agent.world import T0

DAY = date(2026, 6, 1)
OFFER = OpenOffer("0x01", T0, Side.BUY, Direction.UP, Product.CM_REALTIME, 5_000, 200_000, T0 - 1)
BATTERY = DeviceFlexibility("battery", up_wh=500, down_wh=400, left_up_wh=3_000, left_down_wh=2_000, capacity_wh=6_000)
PV = DeviceFlexibility("pv", up_wh=0, down_wh=700)
SHIFTABLE = DeviceFlexibility("shiftable", up_wh=100, down_wh=100, left_up_wh=1_000, left_down_wh=1_000)
FORECAST = FlexibilityForecast(T0, 250, (BATTERY, SHIFTABLE, PV))
POLICY = Policy(
    price_floor_ueur_kwh={"battery": 80_000, "shiftable": 150_000, "pv": 60_000},
    markup_permille=0,
    confidence_permille=1_000,
    reserve_soc_permille=0,
)


def plan(
    offer: OpenOffer = OFFER, policy: Policy = POLICY, pledged: dict[str, tuple[int, int]] | None = None
) -> Planned:
    found = plan_bid(offer, FORECAST, policy, DAY, pledged or {})
    assert isinstance(found, Planned), found
    return found


def declined(offer: OpenOffer = OFFER, policy: Policy = POLICY) -> str:
    found = plan_bid(offer, FORECAST, policy, DAY, {})
    assert isinstance(found, Declined), found
    return found.reason


def test_every_kind_below_the_limit_is_offered_when_that_gains_most() -> None:
    found = plan()
    assert (found.quantity, found.price_ueur_kwh) == (600, 150_000)
    assert found.pledges == {"battery": (500, 0), "shiftable": (100, 0)}


def test_a_kind_above_the_limit_price_is_left_out() -> None:
    found = plan(replace(OFFER, limit_price_ueur_kwh=149_999))
    assert (found.quantity, found.price_ueur_kwh) == (500, 80_000)


def test_the_markup_asks_a_share_of_what_is_between_floor_and_limit() -> None:
    only_battery = replace(POLICY, price_floor_ueur_kwh={"battery": 80_000}, markup_permille=500)
    assert plan(policy=only_battery).price_ueur_kwh == 140_000


def test_curtailing_pv_is_offered_downward_only() -> None:
    found = plan(replace(OFFER, direction=Direction.DOWN))
    assert found.pledges["pv"] == (0, 700)


def test_the_reserve_of_charge_stays() -> None:
    policy = replace(POLICY, price_floor_ueur_kwh={"battery": 80_000}, reserve_soc_permille=450)
    assert plan(policy=policy).quantity == 3_000 - 2_700


def test_earlier_pledges_are_not_sold_twice() -> None:
    policy = replace(POLICY, price_floor_ueur_kwh={"battery": 80_000})
    assert plan(policy=policy, pledged={"battery": (2_800, 0)}).quantity == 200


def test_on_an_opted_out_day_nothing_is_offered() -> None:
    assert declined(policy=replace(POLICY, opt_out=frozenset({DAY}))).startswith("opted out")


def test_reactive_offers_are_not_answered() -> None:
    assert "active" in declined(replace(OFFER, product=Product.VC_REALTIME))


def test_kinds_without_a_floor_are_not_offered() -> None:
    assert "no device" in declined(policy=replace(POLICY, price_floor_ueur_kwh={}))


def test_an_offer_that_sells_is_answered_up_to_the_energys_value() -> None:
    sells = replace(
        OFFER, side=Side.SELL, direction=Direction.DOWN, product=Product.INTERNAL, limit_price_ueur_kwh=50_000
    )
    found = plan(sells, replace(POLICY, value_ueur_kwh={"battery": 90_000}))
    assert (found.quantity, found.price_ueur_kwh) == (400, 90_000)
    assert "no device" in declined(sells, replace(POLICY, value_ueur_kwh={"battery": 40_000}))


@given(
    limit=st.integers(1, 2**29 - 1),
    quantity=st.integers(1, 10_000),
    markup=st.integers(0, 1_000),
    cover_ueur=st.integers(0, 10_000_000),
    largest=st.integers(1, 2_000),
    lowest=st.integers(0, 300_000),
    direction=st.sampled_from(Direction),
)
def test_a_bid_is_within_offer_limits_cover_and_devices(
    limit: int, quantity: int, markup: int, cover_ueur: int, largest: int, lowest: int, direction: Direction
) -> None:
    offer = replace(OFFER, limit_price_ueur_kwh=limit, quantity=quantity, direction=direction)
    policy = replace(
        POLICY,
        markup_permille=markup,
        cover_ueur=cover_ueur,
        largest_quantity_wh=largest,
        lowest_price_ueur_kwh=lowest,
        smallest_quantity_wh=1,
    )
    found = plan_bid(offer, FORECAST, policy, DAY, {})
    if isinstance(found, Planned):
        assert max(1, lowest) <= found.price_ueur_kwh <= limit
        assert 1 <= found.quantity <= min(quantity, largest)
        assert found.quantity * found.price_ueur_kwh * 3 <= cover_ueur * 2_000
        assert found.quantity == sum(map(sum, found.pledges.values()))
        assert found.minimum <= found.quantity


def test_pledges_add_up_by_kind() -> None:
    assert pledges_of([{"battery": (1, 2)}, {"battery": (3, 0), "pv": (0, 5)}]) == {"battery": (4, 2), "pv": (0, 5)}


@pytest.mark.parametrize("confidence", [0, 1])
def test_too_little_is_not_worth_a_bid(confidence: int) -> None:
    assert declined(policy=replace(POLICY, confidence_permille=confidence))
