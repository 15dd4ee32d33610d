"""Days of real grids, played by all processes: phases follow from power flow and bids only."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.demo.options import DemoOptions
from scripts.demo.run import DayResult, collect_evidence, opened, play_day, run_demo, scenario_of
from scripts.demo.scenario import play

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]


def _quiet(_what: str, _done: int, _total: int) -> None:
    return


async def _day(options: DemoOptions) -> DayResult:
    return await run_demo(options, _quiet)


async def test_the_congested_noon_is_relieved_and_every_check_holds(tmp_path: Path) -> None:
    result = await _day(DemoOptions(tmp_path, first_hour=10, last_hour=15))
    report = result.report
    assert result.findings == {name: [] for name in result.findings}
    assert report.intervals_by_phase["YELLOW"] > 0
    assert report.requests > 0
    assert report.bids > 0
    assert report.awards_by_outcome.get("DELIVERED", 0) > 0
    assert report.with_market.overload_kwh < report.without_market.overload_kwh


async def test_a_large_transformer_makes_the_same_noon_green_and_dispatches_nothing(tmp_path: Path) -> None:
    options = DemoOptions(tmp_path, transformer_kva=400.0, first_hour=11, last_hour=14, faults=False)
    async with opened(options, _quiet) as stage:
        await play_day(stage, _quiet)
        evidence = collect_evidence(stage)
    assert {event.arguments["phase"] for event in evidence.named("SignalSet")} == {0}
    assert not evidence.named("RequestPublished", "OfferOpened", "CommandGiven")
    # Without dispatch the gateways measure exactly what the counterfactual of the report plays.
    scenario = scenario_of(options)
    for point in scenario.nanogrids:
        played = play(point, point.actual)
        own = [reading for reading in evidence.readings if reading.nanogrid & 0xFFFF == point.index]
        measured = {reading.interval: reading.active_energy_wh for reading in own}
        for interval in (each for each in scenario.intervals if stage.first_interval <= each < stage.end):
            step = (interval - scenario.first_interval) // scenario.step_s
            assert abs(measured[interval] - played[step].net_j / 3600) <= 1


async def test_with_nobody_willing_to_bid_the_node_turns_red_and_the_dso_commands(tmp_path: Path) -> None:
    result = await _day(DemoOptions(tmp_path, willing_percent=0, first_hour=11, last_hour=14))
    report = result.report
    assert result.findings == {name: [] for name in result.findings}
    assert report.intervals_by_phase["RED"] > 0
    assert report.bids == 0
    assert report.commands > 0
    assert report.command_pay_ueur > 0
    assert report.with_market.overload_kwh < report.without_market.overload_kwh


async def test_another_grid_and_day_plays_as_well(tmp_path: Path) -> None:
    result = await _day(DemoOptions(tmp_path, grid="1-LV-semiurb4--2-sw", first_hour=9, last_hour=11))
    assert result.findings == {name: [] for name in result.findings}
    assert result.report.grid == "1-LV-semiurb4--2-sw"
    assert result.report.intervals_by_phase["YELLOW"] > 0
