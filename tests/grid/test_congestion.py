"""Limits, sensitivities, the energy needed, the ex-ante check and curtailment on the rural grid."""

from __future__ import annotations

import pytest

from market.domain.products import Direction
from market.grid.congestion import (
    Limits,
    NotConvergedError,
    is_clear,
    need,
    sensitivities,
    violations,
)
from market.grid.curtailment import Curtailable, choose_commands
from market.grid.network import Network, load_network
from market.grid.powerflow import GridState, Injection, PowerFlow, with_changes
from market.grid.validation import AwardedChange, check_awards
from scripts.demo.extract import Extract

TRANSFORMER = "transformer:0"
Buses = dict[int, Injection]


def _state(loading: float, vm_pu: float = 1.0) -> GridState:
    return GridState(True, {TRANSFORMER: loading, "line:0": 10.0}, {1: vm_pu, 2: 1.0})


@pytest.mark.parametrize(
    ("loading", "vm_pu", "broken"),
    [
        (100.0, 1.0, []),
        (100.1, 1.0, [TRANSFORMER]),
        (50.0, 1.101, ["bus:1"]),
        (50.0, 0.899, ["bus:1"]),
        (101.0, 1.2, ["bus:1", TRANSFORMER]),
    ],
)
def test_yellow_begins_above_the_rating_or_outside_the_voltage_band(
    loading: float, vm_pu: float, broken: list[str]
) -> None:
    assert [violation.element for violation in violations(_state(loading, vm_pu))] == broken


@pytest.mark.parametrize(
    ("loading", "vm_pu", "clear"), [(94.9, 1.0, True), (95.1, 1.0, False), (50.0, 1.094, True), (50.0, 1.096, False)]
)
def test_green_returns_only_inside_the_narrower_limits(loading: float, vm_pu: float, clear: bool) -> None:
    assert is_clear(_state(loading, vm_pu)) is clear


def test_nothing_is_derived_from_a_state_without_solution(power_flow: PowerFlow, network: Network) -> None:
    with pytest.raises(NotConvergedError):
        violations(GridState(converged=False))
    assert not is_clear(GridState(converged=False))
    with pytest.raises(NotConvergedError):
        need(power_flow, {bus: Injection(5e6) for bus in network.buses})


def test_more_load_relieves_export_and_worsens_import(
    power_flow: PowerFlow, exporting: Buses, importing: Buses
) -> None:
    assert all(effect < 0 for effect in sensitivities(power_flow, exporting, TRANSFORMER, exporting).values())
    assert all(effect > 0 for effect in sensitivities(power_flow, importing, TRANSFORMER, importing).values())


def test_the_need_of_an_export_congestion_is_down_and_just_inside(power_flow: PowerFlow, exporting: Buses) -> None:
    found = need(power_flow, exporting, margin_percent=1.0)
    assert found is not None
    assert (found.direction, found.violation.element, found.solved) == (Direction.DOWN, TRANSFORMER, True)
    assert 98.8 < found.state.loading_percent[TRANSFORMER] <= 99.0
    assert found.energy_wh == pytest.approx(found.power_w / 4, abs=1)
    assert sum(found.change_w.values()) == pytest.approx(found.power_w)


def test_the_need_of_an_import_congestion_is_up(power_flow: PowerFlow, importing: Buses) -> None:
    found = need(power_flow, importing, margin_percent=1.0)
    assert found is not None
    assert (found.direction, found.solved) == (Direction.UP, True)
    assert all(change_w < 0 for change_w in found.change_w.values())
    assert 98.8 < found.state.loading_percent[TRANSFORMER] <= 99.0


def test_there_is_no_need_without_violation(power_flow: PowerFlow, network: Network) -> None:
    assert need(power_flow, {bus: Injection(1_000) for bus in network.buses}) is None


def test_the_need_follows_the_available_flexibility_and_says_whether_it_is_enough(
    power_flow: PowerFlow, exporting: Buses
) -> None:
    for available_w, enough in ((90_000.0, True), (9_000.0, False)):
        found = need(power_flow, exporting, available_w={Direction.DOWN: {5: available_w, 7: available_w / 3}})
        assert found is not None
        assert found.change_w[5] == pytest.approx(3 * found.change_w[7])
        assert set(found.change_w) == {5, 7}
        assert found.within_available is enough


def test_too_high_voltage_asks_for_less_injection_at_the_buses_that_raise_it(power_flow: PowerFlow) -> None:
    limits = Limits(loading_percent=400, voltage_band=0.04)
    injections = {5: Injection(-90_000), 1: Injection(-20_000)}
    assert violations(power_flow.solve(injections), limits)[0].element == "bus:5"
    found = need(power_flow, injections, limits)
    assert found is not None
    assert (found.direction, found.solved) == (Direction.DOWN, True)
    assert not violations(found.state, limits)


def test_an_award_that_worsens_the_violated_element_is_rejected(power_flow: PowerFlow, exporting: Buses) -> None:
    checked = check_awards(
        power_flow, exporting, [AwardedChange(0, 5, 40_000), AwardedChange(1, 7, -3_000), AwardedChange(2, 8, 25_000)]
    )
    assert set(checked.rejected) == {1}
    assert "would worsen MV1.101-LV1.101-Trafo 1" in checked.rejected[1]
    assert not violations(checked.after)
    assert checked.after.loading_percent[TRANSFORMER] < checked.with_all.loading_percent[TRANSFORMER]


def test_an_award_that_breaks_another_limit_is_rejected_and_the_rest_stands(power_flow: PowerFlow) -> None:
    # Export overloads the transformer; one award turns the far end into so much load that its line breaks.
    baseline = {1: Injection(-120_000), 2: Injection(-60_000), 5: Injection(-1_000)}
    checked = check_awards(power_flow, baseline, [AwardedChange(0, 1, 20_000), AwardedChange(1, 5, 230_000)])
    assert set(checked.rejected) == {1}
    assert "its limit is" in checked.rejected[1]
    assert checked.after.loading_percent[TRANSFORMER] < checked.before.loading_percent[TRANSFORMER]


def test_helpful_awards_stand_and_an_impossible_result_is_rejected_whole(
    power_flow: PowerFlow, exporting: Buses
) -> None:
    assert check_awards(power_flow, exporting, [AwardedChange(0, 5, 60_000)]).accepted
    checked = check_awards(power_flow, exporting, [AwardedChange(0, 5, 9e6), AwardedChange(1, 7, 9e6)])
    assert set(checked.rejected) == {0, 1}
    assert "no solution" in checked.rejected[0]
    assert checked.after == checked.before


def test_commands_solve_the_congestion_with_the_most_effective_points_first(
    power_flow: PowerFlow, exporting: Buses
) -> None:
    points = [Curtailable(point, bus, down_w=10_000, up_w=5_000) for point, bus in enumerate(power_flow.network.buses)]
    chosen = choose_commands(power_flow, exporting, points, margin_percent=0.5)
    assert chosen is not None
    assert (chosen.direction, chosen.solved) == (Direction.DOWN, True)
    assert 99.3 < chosen.after.loading_percent[TRANSFORMER] <= 99.5
    effects = sensitivities(power_flow, exporting, TRANSFORMER, power_flow.network.buses)
    ranked = sorted(points, key=lambda point: effects[point.bus])
    assert set(chosen.delta_w) == {point.point for point in ranked[: len(chosen.delta_w)]}
    assert sum(1 for delta_w in chosen.delta_w.values() if delta_w < 10_000) <= 1
    change_w = {point.bus: float(chosen.delta_w.get(point.point, 0)) for point in points}
    assert power_flow.solve(with_changes(exporting, change_w)) == chosen.after


def test_commands_that_cannot_solve_it_say_so(power_flow: PowerFlow, exporting: Buses, importing: Buses) -> None:
    few = choose_commands(power_flow, exporting, [Curtailable(0, 5, down_w=5_000)])
    none = choose_commands(power_flow, importing, [Curtailable(0, 5, down_w=90_000)])
    assert few is not None
    assert none is not None
    assert (few.solved, dict(few.delta_w)) == (False, {0: 5_000})
    assert (none.solved, none.direction, dict(none.delta_w)) == (False, Direction.UP, {})


def test_import_is_commanded_up_with_a_negative_change(power_flow: PowerFlow, importing: Buses) -> None:
    chosen = choose_commands(power_flow, importing, [Curtailable(7, 1, down_w=9_000, up_w=60_000)])
    assert chosen is not None
    assert chosen.solved
    assert chosen.delta_w[7] < 0


def test_no_commands_without_violation(rural: Extract, exporting: Buses) -> None:
    larger = PowerFlow(load_network(rural.grid_path, transformer_kva=400))
    assert choose_commands(larger, exporting, [Curtailable(0, 5, 1_000)]) is None
