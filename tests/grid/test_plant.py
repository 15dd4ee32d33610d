"""Physics of the simulated nanogrid: nothing is lost, nothing goes beyond its limits."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_agent.drivers.simulated.plant import (
    J_PER_WH,
    Battery,
    Plant,
    PlantState,
    ProfileValues,
    Pv,
    ShiftableLoad,
    advance,
    flexibility,
    flexibility_ahead,
    initial_state,
    joined,
    soc_permille,
)

QUARTER_S = 900
PLANTS = st.builds(
    Plant,
    pv=st.builds(Pv, st.integers(0, 120_000)),
    battery=st.builds(
        Battery, st.integers(0, 80_000), st.integers(0, 150_000), st.integers(700, 1000), st.integers(700, 1000)
    ),
    shiftable=st.builds(
        ShiftableLoad, st.integers(0, 1000), st.integers(0, 20_000), st.integers(0, 40_000), st.integers(900, 20_000)
    ),
)
VALUES = st.builds(ProfileValues, st.integers(0, 25_000), st.integers(-5_000, 9_000), st.integers(0, 130_000))
SPANS = st.integers(1, QUARTER_S)
TARGETS = st.none() | st.integers(-150_000, 150_000)
STEPS = st.lists(st.tuples(VALUES, SPANS, TARGETS), min_size=1, max_size=20)


@given(PLANTS, st.integers(0, 1000), STEPS)
@settings(max_examples=200, deadline=None)
def test_energy_is_conserved_to_the_joule_and_no_limit_is_passed(
    plant: Plant, soc: int, steps: list[tuple[ProfileValues, int, int | None]]
) -> None:
    state = initial_state(plant, soc)
    for values, span_s, target_w in steps:
        after, e = advance(plant, state, values, span_s, target_w)
        assert e.net_j == e.profile_load_j + e.shifted_j + e.charged_j - e.discharged_j - e.pv_j
        assert after.stored_j - state.stored_j == e.charged_j - e.discharged_j - e.lost_j
        assert after.owed_j == state.owed_j - e.shifted_j
        assert e.pv_j + e.curtailed_j == min(values.pv_available_w, plant.pv.power_w) * span_s
        assert 0 <= after.stored_j <= plant.battery.energy_wh * J_PER_WH
        assert e.lost_j >= 0
        assert e.pv_j >= 0
        assert e.curtailed_j >= 0
        assert max(e.charged_j, e.discharged_j) <= plant.battery.power_w * span_s
        assert min(e.charged_j, e.discharged_j) == 0
        assert abs(after.owed_j) <= plant.shiftable.energy_wh * J_PER_WH
        assert e.profile_load_j + e.shifted_j >= 0
        state = after


@given(PLANTS, st.integers(0, 1000), STEPS)
@settings(max_examples=100, deadline=None)
def test_the_meter_loses_nothing_to_rounding(
    plant: Plant, soc: int, steps: list[tuple[ProfileValues, int, int | None]]
) -> None:
    state, parts = initial_state(plant, soc), []
    for values, span_s, target_w in steps:
        state, energies = advance(plant, state, values, span_s, target_w)
        parts.append(energies)
    whole = joined(parts)
    assert whole.active_wh * J_PER_WH + state.meter_j == whole.net_j
    vars_ = sum(values.load_var * span_s for values, span_s, _ in steps)
    assert whole.reactive_varh * J_PER_WH + state.meter_vars == vars_
    assert 0 <= state.meter_j < J_PER_WH
    assert 0 <= state.meter_vars < J_PER_WH


@given(PLANTS, st.integers(0, 1000), VALUES, SPANS, st.integers(0, 1000))
@settings(max_examples=200, deadline=None)
def test_a_target_within_the_flexibility_is_met_exactly(
    plant: Plant, soc: int, values: ProfileValues, span_s: int, share: int
) -> None:
    state = initial_state(plant, soc)
    _, default = advance(plant, state, values, span_s)
    flexible = flexibility(plant, state, values, span_s)
    for change_wh in (flexible.down.total * share // 1000, -(flexible.up.total * share // 1000)):
        target_w = (default.net_j + int(change_wh * J_PER_WH)) // span_s
        if (target_w - default.net_w) * change_wh < 0:
            continue  # rounding to a whole W went beyond the default
        _, energies = advance(plant, state, values, span_s, target_w)
        assert abs(energies.net_j - target_w * span_s) <= span_s


@given(PLANTS, st.integers(0, 1000), VALUES, st.integers(-150_000, 150_000))
@settings(max_examples=200, deadline=None)
def test_a_target_beyond_the_limits_is_followed_as_far_as_they_go(
    plant: Plant, soc: int, values: ProfileValues, target_w: int
) -> None:
    state = initial_state(plant, soc)
    _, default = advance(plant, state, values, QUARTER_S)
    _, energies = advance(plant, state, values, QUARTER_S, target_w)
    low, high = sorted((default.net_j, target_w * QUARTER_S))
    assert low <= energies.net_j <= high


@given(
    st.builds(ShiftableLoad, st.integers(100, 1000), st.just(20_000), st.integers(1, 40_000), st.just(4 * 3600)),
    st.integers(1_000, 20_000),
    st.lists(st.integers(-30_000, 30_000), min_size=1, max_size=8),
)
@settings(max_examples=100, deadline=None)
def test_what_is_shifted_is_given_back_to_the_joule(
    shiftable: ShiftableLoad, load_w: int, targets_w: list[int]
) -> None:
    plant, state, values = Plant(shiftable=shiftable), PlantState(), ProfileValues(load_w)
    shifted_j = 0
    for target_w in [*targets_w, *[None] * 2_000]:
        state, energies = advance(plant, state, values, QUARTER_S, target_w)
        shifted_j += energies.shifted_j
        if target_w is None and state.owed_j == 0:
            break
    # Where the load fills its own rating there is no room to give back: then it stays owed, and is known.
    assert shifted_j == -state.owed_j
    if load_w * shiftable.share_permille // 1000 < shiftable.power_w:
        assert state.owed_j == 0


def test_give_back_is_spread_over_its_time() -> None:
    plant = Plant(shiftable=ShiftableLoad(500, 4_000, 2_000, give_back_s=4 * QUARTER_S))
    state, held = advance(plant, PlantState(), ProfileValues(4_000), QUARTER_S, target_w=3_000)
    back = []
    for _ in range(5):
        state, energies = advance(plant, state, ProfileValues(4_000), QUARTER_S)
        back.append(energies.shifted_j)
    assert held.shifted_j == -1_000 * QUARTER_S
    assert back == [250 * QUARTER_S] * 4 + [0]


def test_without_a_target_the_battery_serves_self_consumption() -> None:
    plant = Plant(Pv(10_000), Battery(5_000, 10_000))
    state = initial_state(plant, 500)
    state, sunny = advance(plant, state, ProfileValues(1_000, 0, 4_000), QUARTER_S)
    assert (sunny.net_j, sunny.charged_j) == (0, 3_000 * QUARTER_S)
    state, dark = advance(plant, state, ProfileValues(9_000), QUARTER_S)
    assert dark.net_w == 4_000
    assert dark.discharged_j == 5_000 * QUARTER_S


def test_down_uses_battery_then_shiftable_load_then_curtailment() -> None:
    plant = Plant(Pv(10_000), Battery(1_000, 10_000), ShiftableLoad(500, 1_500, 3_000))
    values = ProfileValues(1_000, 0, 8_000)
    state = initial_state(plant, 0)
    _, default = advance(plant, state, values, QUARTER_S)
    assert default.net_w == -6_000  # 7 kW of surplus, 1 kW of it charged
    _, some = advance(plant, state, values, QUARTER_S, -5_000)
    assert (some.shifted_j, some.curtailed_j) == (1_000 * QUARTER_S, 0)
    _, more = advance(plant, state, values, QUARTER_S, -3_000)
    assert (more.shifted_j, more.curtailed_j) == (1_000 * QUARTER_S, 2_000 * QUARTER_S)


def test_flexibility_ahead_counts_what_earlier_targets_use_up() -> None:
    plant = Plant(battery=Battery(4_000, 1_000))
    state, quarters = initial_state(plant, 1000), [ProfileValues(0)] * 2
    assert flexibility_ahead(plant, state, quarters, QUARTER_S).up.battery == 950
    assert flexibility_ahead(plant, state, quarters, QUARTER_S, [-3_800]).up.battery == 0
    with pytest.raises(ValueError, match="at least one span"):
        flexibility_ahead(plant, state, [], QUARTER_S)


def test_a_reactive_target_is_met_within_the_inverters_rating() -> None:
    plant = Plant(Pv(10_000))
    _, free = advance(plant, PlantState(), ProfileValues(0, 1_000, 6_000), 3600, target_var=-6_000)
    _, beyond = advance(plant, PlantState(), ProfileValues(0, 1_000, 6_000), 3600, target_var=-20_000)
    assert (free.reactive_varh, beyond.reactive_varh) == (-6_000, -7_000)  # sqrt(10² - 6²) = 8 kvar around 1 kvar


@given(PLANTS, st.integers(0, 1000), VALUES)
def test_plant_and_state_survive_json(plant: Plant, soc: int, values: ProfileValues) -> None:
    state, _ = advance(plant, initial_state(plant, soc), values, QUARTER_S, 0)
    assert Plant.from_json(json.loads(json.dumps(plant.to_json()))) == plant
    assert PlantState.from_json(json.loads(json.dumps(state.to_json()))) == state
    assert 0 <= soc_permille(plant, state) <= 1000


def test_a_span_or_profile_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="span must be positive"):
        advance(Plant(), PlantState(), ProfileValues(), 0)
    with pytest.raises(ValueError, match="pv_available_w must not be negative"):
        advance(Plant(), PlantState(), ProfileValues(0, 0, -1), QUARTER_S)
