"""Days of real grids, played by all processes: phases follow from power flow and bids only."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from scripts.demo.options import DemoOptions
from scripts.demo.progress import Step
from scripts.demo.run import DayResult, collect_evidence, opened, play_day, run_demo, scenario_of
from scripts.demo.scenario import play
from scripts.demo.stage import SET_UP_STEPS

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.alone, pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]


def _quiet(_step: Step) -> None:
    return


def assert_told_without_going_back(told: list[Step]) -> None:
    """Every step of the set-up in its order, then the day from its beginning to its end."""
    set_up = [step for step in told if step.at is None]
    day = [step for step in told if step.at is not None]
    assert told == set_up + day
    assert tuple(dict.fromkeys(step.name for step in set_up)) == SET_UP_STEPS
    for steps in (set_up, day):
        assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert day[-1].percent > 90


async def _day(options: DemoOptions) -> DayResult:
    return await run_demo(options, _quiet)


def _command(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`meritgrid demo --once` in a folder, as a user runs it."""
    command = [sys.executable, "-m", "market.cli", "demo", "--once", "--json", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_default_day_is_relieved_and_the_command_leaves_its_report(tmp_path: Path) -> None:
    done = _command(tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["demo-report"], "the data folder is gone"
    report = json.loads(done.stdout)
    assert json.loads((tmp_path / "demo-report" / "report.json").read_text()) == report
    assert (tmp_path / "demo-report" / "day.png").read_bytes().startswith(b"\x89PNG")
    assert all(check["holds"] for check in report["checks"].values())
    assert report["intervals"] == 96
    assert min(report["intervals_by_phase"][phase] for phase in ("GREEN", "YELLOW")) > 0
    assert report["requests"] == report["offers"] > 0
    assert report["bids"] > 100
    # Forecast errors, a gateway that is offline for a while and a stubborn device leave their traces.
    assert {"DELIVERED", "SHORT", "FAILED"} <= set(report["awards_by_outcome"])
    assert report["partial_awards"] > 0
    assert report["with_market"]["overload_kwh"] < report["without_market"]["overload_kwh"] / 3


async def test_a_large_transformer_makes_the_same_noon_green_and_dispatches_nothing(tmp_path: Path) -> None:
    options = DemoOptions(tmp_path, transformer_kva=400.0, first_hour=9, last_hour=18)
    told: list[Step] = []
    async with opened(options, told.append) as stage:
        await play_day(stage, told.append)
        evidence = collect_evidence(stage)
    assert {event.arguments["phase"] for event in evidence.named("SignalSet")} == {0}
    assert not evidence.named("RequestPublished", "OfferOpened", "CommandGiven")
    assert_told_without_going_back(told)
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


def test_another_grid_with_other_households_plays_as_well_and_is_kept(tmp_path: Path) -> None:
    done = _command(
        tmp_path, "--grid", "1-LV-semiurb4--2-sw", "--hours", "9-11", "--households", 41, "--seed", 3, "--keep"
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["grid"], report["nanogrids"]) == ("1-LV-semiurb4--2-sw", 41)
    assert report["intervals_by_phase"]["YELLOW"] > 0
    [folder] = tmp_path.iterdir()
    assert (folder / "report" / "report.json").exists()
    assert len(list((folder / "gateways").iterdir())) == 41


def test_the_evening_peak_is_relieved_by_drawing_less_and_the_page_stays_up_until_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "market.cli", "demo", "--date", "2016-02-27", "--hours", "18-20"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    said = ""
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            said += line
            if "until Ctrl-C" in line:
                break
        [url] = set(re.findall(r"http://127\.0\.0\.1:\d+", said))
        assert httpx.get(url).status_code == 200
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0, said + running.stderr.read()
    with pytest.raises(httpx.TransportError):
        httpx.get(url)
    assert [path.name for path in tmp_path.iterdir()] == ["demo-report"], "the data folder is gone"
    report = json.loads((tmp_path / "demo-report" / "report.json").read_text())
    assert report["transformer_kva"] == 63
    assert report["awards_by_outcome"]["DELIVERED"] > 0
    assert report["with_market"]["overload_kwh"] < report["without_market"]["overload_kwh"]
