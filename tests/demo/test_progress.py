"""What a user sees while a demonstration runs: bars on a terminal, lines in a log, nothing beside a JSON document."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from scripts.demo.progress import Bars, Progress, Step, shown_on
from scripts.demo.run import DayResult
from tests.cli.conftest import call
from tests.demo.reports import report_with

OPENING = datetime(2016, 5, 20, 8, 45, tzinfo=UTC)
DAY_S = 4 * 3600


def moments(progress: Progress) -> None:
    """A set-up of three steps, and a day that is looked at once in ten simulated minutes."""
    progress(Step("starting the chain", 0, 3))
    for number in range(1, 29):
        progress(Step("enrolling gateways", 1, 3, f"{number} of 28"))
    progress(Step("starting agents", 2, 3))
    for done in range(0, DAY_S + 1, 600):
        progress(Step("playing the day", done, DAY_S, at=OPENING + timedelta(seconds=done)))
    progress(Step("judging the day", DAY_S, DAY_S, at=OPENING + timedelta(seconds=DAY_S)))


def test_a_log_has_a_line_for_each_step_and_each_simulated_hour() -> None:
    out = StringIO()
    with shown_on(Console(file=out)) as progress:
        moments(progress)
    assert out.getvalue().splitlines() == [
        "setting up, 1 of 3: starting the chain",
        "setting up, 2 of 3: enrolling gateways",
        "setting up, 3 of 3: starting agents",
        "playing the day: Fri 20 May 08:45, 0 %",
        "playing the day: Fri 20 May 09:05, 8 %",
        "playing the day: Fri 20 May 10:05, 33 %",
        "playing the day: Fri 20 May 11:05, 58 %",
        "playing the day: Fri 20 May 12:05, 83 %",
        "judging the day: Fri 20 May 12:45, 100 %",
    ]


def test_a_terminal_shows_the_simulated_time_and_the_share_of_the_day_below_a_set_up_that_is_complete() -> None:
    out = StringIO()
    with shown_on(Console(file=out, force_terminal=True, width=120, color_system=None)) as progress:
        assert isinstance(progress, Bars)
        moments(lambda step: progress(step) if step.done < DAY_S else None)
    set_up, day = [line for line in out.getvalue().splitlines() if "%" in line][-2:]
    assert "set up" in set_up
    assert "100%" in set_up
    assert "playing the day: Fri 20 May 12:35" in day
    assert "96%" in day


@pytest.mark.parametrize(("options", "lines"), [([], 9), (["--json"], 0)])
def test_progress_never_stands_on_the_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], lines: int
) -> None:
    async def played(_options: object, progress: Progress, afterwards: Any, *_: object) -> DayResult:
        moments(progress)
        result = DayResult(report_with([]), {"a check": []}, 1.0, 1.0)
        await afterwards(None, result)
        return result

    monkeypatch.setattr("scripts.demo.run.run_demo", played)
    answer = call("demo", "--once", "--data", tmp_path / "day", *options)
    assert answer.code == 0
    assert "playing" not in answer.out
    assert sum("the day: " in line or "setting up" in line for line in answer.err.splitlines()) == lines
    if options:
        assert json.loads(answer.out)["checks"] == {"a check": {"holds": True, "findings": []}}
