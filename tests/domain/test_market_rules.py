"""Products, phases, states, baselines and money: the tables of the domain and what follows from them."""

from __future__ import annotations

import re
from datetime import date, timedelta
from enum import IntEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain import baselines, money, states, traffic_light
from market.domain.baselines import MeteredDay, NotEnoughDays
from market.domain.errors import InvalidTransition
from market.domain.products import AUCTIONED, PRODUCTS, Direction, Kind, Phase, Product, Side, SignalKind
from market.domain.settlement import Outcome
from market.domain.states import (
    AWARD_CHANGES,
    DISPATCH_CHANGES,
    OFFER_CHANGES,
    AwardState,
    DispatchState,
    OfferState,
    OfferStatus,
    offer_state,
)
from market.domain.traffic_light import START, Action, GridFacts, Light, allows, allows_offer

INTERFACES = Path(__file__).parents[2] / "contracts" / "interfaces"


def members(source: str, enum: str) -> list[str]:
    body = re.search(rf"enum {enum} \{{([^}}]*)\}}", (INTERFACES / source).read_text())
    assert body is not None
    return [member.strip() for member in body[1].split(",")]


@pytest.mark.parametrize(
    ("enum", "source", "name"),
    [
        (Side, "IMeritOrderAuction.sol", "Side"),
        (Direction, "IMeritOrderAuction.sol", "Direction"),
        (OfferStatus, "IMeritOrderAuction.sol", "Status"),
        (Phase, "IGridSignals.sol", "Phase"),
        (SignalKind, "IGridSignals.sol", "Kind"),
        (Outcome, "ISettlement.sol", "Outcome"),
    ],
)
def test_codes_are_those_of_the_contracts(enum: type[IntEnum], source: str, name: str) -> None:
    assert [member.name for member in enum] == members(source, name)
    assert [int(member) for member in enum] == list(range(len(enum)))


def test_every_product_has_its_terms_and_kind() -> None:
    assert set(PRODUCTS) == set(Product)
    assert {product for product in Product if product.kind is Kind.REACTIVE} == {
        Product.VC_REALTIME,
        Product.VC_CAPACITY_Q,
    }
    assert set(AUCTIONED) == {Product.CM_REALTIME, Product.VC_REALTIME, Product.INTERNAL}
    assert not PRODUCTS[Product.VC_EMERGENCY_P].activated_by_aggregator


def lights(loadings: list[float]) -> list[Phase]:
    light, phases = START, []
    for loading in loadings:
        light = traffic_light.light_by_forecast(light, GridFacts(loading))
        phases.append(light.phase)
    return phases


def test_yellow_above_the_rating_and_green_only_after_two_calm_intervals() -> None:
    g, y = Phase.GREEN, Phase.YELLOW
    assert lights([100.0, 100.1, 97, 94, 96, 94, 94, 99]) == [g, y, y, y, y, y, g, g]


@pytest.mark.parametrize(("low", "high"), [(0.899, 1.0), (1.0, 1.101)])
def test_a_voltage_outside_ten_percent_makes_yellow(low: float, high: float) -> None:
    assert traffic_light.light_by_forecast(START, GridFacts(10, low, high)).phase is Phase.YELLOW


def test_red_when_the_market_does_not_solve_it_or_actual_values_break_a_limit_for_three_minutes() -> None:
    yellow = traffic_light.light_by_forecast(START, GridFacts(120))
    assert traffic_light.light_after_market(yellow, GridFacts(100)).phase is Phase.YELLOW
    assert traffic_light.light_after_market(yellow, GridFacts(101)).phase is Phase.RED
    assert traffic_light.light_by_actual(START, 179).phase is Phase.GREEN
    red = traffic_light.light_by_actual(START, 180)
    assert red.phase is Phase.RED
    assert traffic_light.light_by_forecast(red, GridFacts(90)).phase is Phase.YELLOW
    calm_once = traffic_light.light_by_forecast(red, GridFacts(90))
    assert traffic_light.light_by_forecast(calm_once, GridFacts(90)) == Light(
        Phase.GREEN, traffic_light.Cause.WITHIN_LIMITS, 2
    )


def test_each_phase_allows_what_the_table_says() -> None:
    assert allows_offer(Phase.GREEN, Product.INTERNAL)
    assert not allows_offer(Phase.GREEN, Product.CM_REALTIME)
    assert allows_offer(Phase.YELLOW, Product.CM_REALTIME)
    assert not allows_offer(Phase.YELLOW, Product.VC_EMERGENCY_P)
    assert not any(allows_offer(Phase.RED, product) for product in Product)
    assert [phase for phase in Phase if allows(phase, Action.COMMAND)] == [Phase.RED]


def test_limits_whose_calm_is_wider_are_refused() -> None:
    with pytest.raises(ValueError, match="calm"):
        traffic_light.Limits(calm_loading_percent=101)


def test_machines_know_every_state_and_reach_every_end() -> None:
    assert set(OFFER_CHANGES) == set(OfferState)
    assert set(AWARD_CHANGES) == set(AwardState)
    assert set(DISPATCH_CHANGES) == set(DispatchState)
    assert {state for state in AwardState if states.is_end(AWARD_CHANGES, state)} == {
        AwardState.PAID,
        AwardState.REVOKED,
        AwardState.ANNULLED,
    }


def test_a_change_that_is_not_allowed_is_refused_by_name() -> None:
    assert states.change(DISPATCH_CHANGES, DispatchState.NEW, DispatchState.ACCEPTED) is DispatchState.ACCEPTED
    with pytest.raises(InvalidTransition) as refused:
        states.change(DISPATCH_CHANGES, DispatchState.SUCCEEDED, DispatchState.STARTED)
    assert refused.value.fields == {"machine": "DispatchState", "state": "SUCCEEDED", "to": "STARTED"}


def test_an_open_offer_is_closed_from_its_gate_closure_on() -> None:
    assert offer_state(OfferStatus.OPEN, 100, 99) is OfferState.OPEN
    assert offer_state(OfferStatus.OPEN, 100, 100) is OfferState.CLOSED
    assert offer_state(OfferStatus.FINAL, 100, 999) is OfferState.FINAL
    assert offer_state(OfferStatus.FINAL, 100, 999, all_awards_ended=True) is OfferState.SETTLED


def days(*totals: int) -> list[MeteredDay]:
    return [MeteredDay(date(2026, 6, 1) + timedelta(days=at), (total, -total)) for at, total in enumerate(totals)]


def test_comparable_days_are_of_the_same_type_and_no_event_days() -> None:
    history = days(*range(20))
    found = baselines.comparable_days(history, date(2026, 6, 18), 3, excluded={date(2026, 6, 17)})
    assert [one.day.day for one in found] == [12, 15, 16]
    with pytest.raises(NotEnoughDays):
        baselines.comparable_days(history, date(2026, 6, 7), 1)
    holiday = {date(2026, 6, 2)}
    assert baselines.comparable_days(history, date(2026, 6, 7), 1, holidays=holiday)[0].day == date(2026, 6, 2)


def test_days_of_a_changed_clock_are_left_out() -> None:
    history = [*days(1, 2), MeteredDay(date(2026, 6, 3), (1, 2, 3)), MeteredDay(date(2026, 6, 4), (4, 4))]
    assert len(baselines.comparable_days(history, date(2026, 6, 5), 3)) == 3


def test_x_of_y_methods_take_the_days_that_they_name() -> None:
    ten = [MeteredDay(date(2026, 6, 1) + timedelta(days=at), (at * at,)) for at in range(10)]
    assert baselines.high_x_of_y(ten, 2) == [round((64 + 81) / 2)]
    assert baselines.middle_8_of_10(ten) == [round(sum(at * at for at in range(1, 9)) / 8)]
    with pytest.raises(NotEnoughDays):
        baselines.middle_8_of_10(ten[:9])
    with pytest.raises(NotEnoughDays):
        baselines.high_x_of_y(ten, 11)


def test_meter_before_after_and_the_capped_adjustment() -> None:
    assert baselines.meter_before_after(100, 200, 3) == [150, 150, 150]
    assert baselines.adjusted([1000, -100], metered_before=550, baseline_before=500) == [1050, -80]
    assert baselines.nominated((1, 2)) == [1, 2]


@given(st.integers(-(10**15), 10**15))
def test_money_survives_as_text(amount_ueur: int) -> None:
    assert money.parse_eur(str(money.eur(amount_ueur))) == amount_ueur


@pytest.mark.parametrize("text", ["1.1234567", "abc", "NaN", "", "Infinity"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        money.parse_eur(text)


def test_money_is_shown_with_its_unit() -> None:
    assert money.format_price(123_400) == "0.1234 EUR/kWh"
    assert money.format_eur(-12_345_600, 2) == "-12.35 EUR"
