"""What a first-time user chooses: wrong choices are named before anything starts, and a folder remembers the rest."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from scripts.demo.manifest import Manifest, NotResumable, note_time, noted_time, read_manifest, set_up_done
from scripts.demo.options import DemoOptions
from scripts.demo.run import DayResult
from tests.cli.conftest import call
from tests.demo.reports import report_with

PORTS = {"chain": 1, "clock": 2, "broker": 3, "market": 4, "oracle": 5}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--hours", "14-10"], "first < last"),
        (["--hours", "noon"], "FIRST-LAST"),
        (["--grid", "nowhere"], "nor one of"),
        (["--date", "2016-01-01"], "has no day 2016-01-01"),
        (["--willing", 101], "0 … 100"),
        (["--agents", 0], "at least one agent"),
        (["--speed", -1], "positive"),
        (["--households", 0], "at least one household"),
        (["--transformer-kva", -3], "positive"),
    ],
)
def test_a_wrong_choice_is_named_and_nothing_starts(arguments: list[object], says: str, tmp_path: Path) -> None:
    answer = call("demo", "--once", "--data", tmp_path / "day", *arguments)
    assert answer.code == 2
    assert says in " ".join(answer.err.split())


def test_a_folder_in_use_is_not_begun_anew(tmp_path: Path) -> None:
    Manifest(DemoOptions(tmp_path), PORTS).write()
    answer = call("demo", "--once", "--data", tmp_path)
    assert answer.code == 2
    assert "--resume" in answer.err


def test_a_resumed_day_keeps_its_options(tmp_path: Path) -> None:
    Manifest(DemoOptions(tmp_path), PORTS).write()
    answer = call("demo", "--resume", tmp_path, "--households", 5, "--grid", "another", "--speed", 60)
    assert answer.code == 2
    assert "leave out --grid, --households" in " ".join(answer.err.split())


def test_a_folder_without_a_demonstration_cannot_be_resumed(tmp_path: Path) -> None:
    answer = call("demo", "--resume", tmp_path)
    assert (answer.code, "holds no demonstration" in answer.err) == (2, True)
    (tmp_path / "demo.json").write_text(json.dumps({"options": {"grid": "x", "surplus": 1}}))
    with pytest.raises(NotResumable):
        read_manifest(tmp_path)


def test_the_manifest_survives_its_file_with_another_speed(tmp_path: Path) -> None:
    options = DemoOptions(tmp_path, day=date(2016, 5, 20), seed=3, households=12, speed=60.0, first_hour=9)
    manifest = set_up_done(Manifest(options, PORTS), {"market": 77})
    manifest.write()
    read = read_manifest(tmp_path, speed=2.0)
    assert read.options == DemoOptions(tmp_path, day=date(2016, 5, 20), seed=3, households=12, speed=2.0, first_hour=9)
    assert (read.ports, read.is_set_up, read.pids) == (PORTS, True, {"market": 77})


def test_the_noted_time_is_the_last_one(tmp_path: Path) -> None:
    assert noted_time(tmp_path) is None
    note_time(tmp_path, 1_463_700_000.0)
    note_time(tmp_path, 1_463_700_900.4)
    assert noted_time(tmp_path) == 1_463_700_900


@pytest.mark.parametrize(("findings", "code"), [([], 0), (["a micro-euro vanished"], 1)])
def test_the_exit_code_says_whether_every_check_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, findings: list[str], code: int
) -> None:
    async def judged(_options: object, _progress: object, afterwards: Any, *_: object) -> DayResult:
        result = DayResult(report_with([]), {"a check": findings}, 1.0, 1.0)
        await afterwards(None, result)
        return result

    monkeypatch.setattr("scripts.demo.run.run_demo", judged)
    answer = call("demo", "--once", "--data", tmp_path / "day")
    assert answer.code == code
    assert ("FAILS" in answer.out) is bool(findings)
