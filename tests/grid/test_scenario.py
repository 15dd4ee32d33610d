"""Days of real grids as nanogrids: the stated congestion, who owns what, forecasts, files."""

from __future__ import annotations

import itertools
import json
from datetime import date
from pathlib import Path

import pytest

from gateway_agent.drivers.simulated.profile import ProfileError, nanogrid_from_json, read_nanogrid
from market.domain.units import nanogrid_id
from market.grid.congestion import Limits, violations
from market.grid.forecasts import FORECAST_FILE, ForecastError, read_forecast
from market.grid.network import load_network
from market.grid.powerflow import PowerFlow
from scripts.demo.extract import GRIDS_FOLDER, Extract, ExtractError, extract_folder, read_extract
from scripts.demo.extract_simbench import export
from scripts.demo.forecast_error import CLOUDS, error_factors
from scripts.demo.scenario import (
    PORTFOLIO,
    Scenario,
    ScenarioOptions,
    as_published,
    build_scenario,
    congestion_figures,
    node_forecast,
    without_market,
)
from scripts.demo.scenario_files import nanogrid_path, read_scenario, write_scenario

PV_DAY, EVENING, QUIET = date(2016, 5, 20), date(2016, 2, 27), date(2016, 11, 20)


@pytest.fixture(scope="module")
def pv_day(rural: Extract) -> Scenario:
    return build_scenario(rural, ScenarioOptions(day=PV_DAY, seed=1))


def test_the_day_of_step_13488_with_storages_at_0_is_loaded_to_141_percent(rural: Extract) -> None:
    day = rural.day(PV_DAY)
    assert day.first_step <= 13_488 < day.first_step + 96
    figures = congestion_figures(as_published(rural, day, rural.transformer_kva, {}))
    assert figures["highest_loading_percent"] == 141.2
    assert figures["intervals_above_rating"] == 11


def test_the_stated_figures_are_those_of_the_script(rural: Extract, semiurban: Extract) -> None:
    for extract in (rural, semiurban):
        stated = json.loads((extract.folder / "congestion.json").read_text())
        for item in stated["days"]:
            options = ScenarioOptions(date.fromisoformat(item["date"]), stated["seed"], None, item["transformer_kva"])
            assert congestion_figures(without_market(build_scenario(extract, options))) == item["simulated_batteries"]


def test_simulated_batteries_leave_the_pv_day_congested_at_160_kva_and_not_at_400(rural: Extract) -> None:
    own, larger = (
        congestion_figures(without_market(build_scenario(rural, ScenarioOptions(PV_DAY, 1, None, kva))))
        for kva in (None, 400)
    )
    assert own["highest_loading_percent"] == 162.5
    assert own["intervals_above_rating"] == 14
    assert larger["intervals_above_rating"] == larger["intervals_outside_voltage"] == 0


def test_no_forecast_of_the_pv_day_comes_near_the_limits_at_400_kva(rural: Extract) -> None:
    """What the DSO's desk sees: the whole day is GREEN."""
    scenario = build_scenario(rural, ScenarioOptions(PV_DAY, 7, None, 400))
    forecast = node_forecast(scenario)
    power_flow = PowerFlow(load_network(scenario.grid, 400))
    for interval in scenario.intervals:
        assert not violations(power_flow.solve(forecast.injections(interval)), Limits().tightened(10.0)), interval


def test_the_evening_is_congested_by_import_at_the_stated_rating(rural: Extract) -> None:
    scenario = build_scenario(rural, ScenarioOptions(day=EVENING))
    run = without_market(scenario)
    above = [state for state in run.states if state.transformer_loading_percent > 100]
    assert scenario.transformer_kva == 63
    assert above
    assert all(state.transformer_p_w > 0 for state in above)


def test_the_quiet_day_has_no_congestion_and_a_second_grid_has(rural: Extract, semiurban: Extract) -> None:
    quiet = congestion_figures(without_market(build_scenario(rural, ScenarioOptions(day=QUIET))))
    second = congestion_figures(without_market(build_scenario(semiurban, ScenarioOptions())))
    assert quiet["intervals_above_rating"] == 0
    assert second["intervals_above_rating"] > 0


def test_the_day_starts_at_local_midnight_all_year(pv_day: Scenario) -> None:
    assert pv_day.first_interval == 1_463_698_800  # 2016-05-19T23:00Z
    assert len(pv_day.intervals) == 96
    assert pv_day.start_s == pv_day.first_interval - 5 * 900


def test_each_load_is_a_nanogrid_and_plants_belong_to_the_largest_load_of_their_bus(
    rural: Extract, pv_day: Scenario
) -> None:
    assert [point.bus for point in pv_day.nanogrids] == [load.bus for load in rural.loads]
    assert sum(point.plant.pv.power_w for point in pv_day.nanogrids) == sum(p.power_w for p in rural.plants) + sum(
        s.pv_power_w for s in rural.storages
    )
    assert sum(p.plant.battery.energy_wh for p in pv_day.nanogrids) == sum(s.energy_wh for s in rural.storages)
    for point in pv_day.nanogrids:
        if point.plant.pv.power_w:
            at_bus = [load.rated_va for load in rural.loads if load.bus == point.bus]
            assert rural.loads[point.index].rated_va == max(at_bus)


def test_dropped_households_stay_in_the_grid_as_passive_points(rural: Extract, pv_day: Scenario) -> None:
    fewer = build_scenario(rural, ScenarioOptions(day=PV_DAY, seed=1, households=10))
    assert (len(fewer.nanogrids), len(fewer.passive)) == (10, 18)
    assert [point.index for point in fewer.points] == list(range(28))
    assert congestion_figures(without_market(fewer)) == congestion_figures(without_market(pv_day))


def test_added_households_are_spread_over_the_buses(rural: Extract, pv_day: Scenario) -> None:
    more = build_scenario(rural, ScenarioOptions(day=PV_DAY, seed=1, households=41))
    assert more.nanogrids[:28] == pv_day.nanogrids
    assert len({point.bus for point in more.nanogrids[28:]}) == 13
    assert all(point.rated_power_w > 0 for point in more.nanogrids)
    with pytest.raises(ValueError, match="at least one household"):
        build_scenario(rural, ScenarioOptions(households=0))


def test_the_seed_decides_what_is_forecast_and_not_what_happens(rural: Extract, pv_day: Scenario) -> None:
    again = build_scenario(rural, ScenarioOptions(day=PV_DAY, seed=1))
    other = build_scenario(rural, ScenarioOptions(day=PV_DAY, seed=2))
    assert again == pv_day
    for mine, theirs in zip(pv_day.nanogrids, other.nanogrids, strict=True):
        assert mine.actual == theirs.actual
    assert any(mine.forecast != theirs.forecast for mine, theirs in zip(pv_day.nanogrids, other.nanogrids, strict=True))


def test_forecast_errors_have_the_stated_mean_spread_and_memory() -> None:
    factors = error_factors(CLOUDS, 20_000, "any")
    mean = sum(factors) / len(factors)
    variance = sum((f - mean) ** 2 for f in factors) / len(factors)
    lagged = sum((a - mean) * (b - mean) for a, b in itertools.pairwise(factors)) / len(factors)
    assert mean == pytest.approx(1.0, abs=0.02)
    assert variance**0.5 == pytest.approx(CLOUDS.sigma, rel=0.1)
    assert lagged / variance == pytest.approx(CLOUDS.phi, abs=0.02)


def test_the_forecast_replaces_nominated_baselines_and_ends_with_the_day(pv_day: Scenario) -> None:
    forecast = node_forecast(pv_day)
    noon = pv_day.intervals[48]
    expected = forecast.injections(noon)
    number = next(point.index for point in pv_day.nanogrids if point.bus == 5)
    own_w = forecast.points[number].p_w[48]
    nominated = forecast.injections(noon, {nanogrid_id(PORTFOLIO, number): own_w + 1_000.0})
    assert nominated[5].p_w == expected[5].p_w + 1_000
    assert forecast.injections(pv_day.start_s) == forecast.injections(pv_day.first_interval)
    assert forecast.candidate_buses == tuple(sorted(set(forecast.bus_of.values())))
    with pytest.raises(ForecastError, match="ends before"):
        forecast.injections(pv_day.intervals[-1] + 900)


def test_a_scenario_survives_its_files(rural: Extract, tmp_path: Path) -> None:
    written = write_scenario(build_scenario(rural, ScenarioOptions(day=PV_DAY, households=10)), tmp_path / "day")
    assert read_scenario(tmp_path / "day") == written
    assert read_nanogrid(nanogrid_path(tmp_path / "day", 3)) == written.nanogrids[3]
    assert read_forecast(tmp_path / "day" / FORECAST_FILE) == node_forecast(written)


def test_a_series_holds_its_first_and_last_value_outside_the_day(pv_day: Scenario) -> None:
    series = pv_day.nanogrids[0].actual
    assert series.at(pv_day.start_s) == series.at(pv_day.first_interval)
    assert series.at(pv_day.first_interval + 899).load_w == series.load_w[0]
    assert series.at(pv_day.first_interval + 900).load_w == series.load_w[1]
    assert series.at(pv_day.intervals[-1] + 10_000).load_w == series.load_w[-1]


def test_bad_files_and_unknown_days_are_named(rural: Extract, tmp_path: Path) -> None:
    with pytest.raises(ExtractError, match=r"has no day 2016-01-01; it has 2016-05-20"):
        rural.day(date(2016, 1, 1))
    assert extract_folder(rural.name) == extract_folder(str(rural.folder)) == GRIDS_FOLDER / rural.name
    with pytest.raises(ExtractError, match=r"nor one of: 1-LV-rural1--2-sw, 1-LV-semiurb4--2-sw"):
        extract_folder("nowhere")
    with pytest.raises(ExtractError, match="holds no extract"):
        read_extract(tmp_path)
    with pytest.raises(ExtractError, match="holds no scenario"):
        read_scenario(tmp_path)
    with pytest.raises(ProfileError):
        nanogrid_from_json({"format": 1})
    bad = tmp_path / "forecast.json"
    bad.write_text("{}")
    with pytest.raises(ForecastError):
        read_forecast(bad)


DAYS = {
    "1-LV-rural1--2-sw": ["2016-05-20=congested by PV", "2016-02-27=evening peak@63", "2016-11-20=quiet"],
    "1-LV-semiurb4--2-sw": ["2016-01-12=morning peak@100"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DAYS)
def test_the_script_makes_the_committed_extract_byte_for_byte(name: str, tmp_path: Path) -> None:
    folder = extract_folder(name)
    export(name, tmp_path, DAYS[name])
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == sorted(path.name for path in folder.iterdir())
    for file in made:
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes(), file


def test_the_published_series_drive_the_transformer_to_209_percent(rural: Extract) -> None:
    first = json.loads((rural.folder / "congestion.json").read_text())["days"][0]
    assert first["as_published"]["highest_loading_percent"] == pytest.approx(209, abs=0.5)
    assert first["as_published"]["highest_vm_pu"] == pytest.approx(1.075, abs=0.0005)
