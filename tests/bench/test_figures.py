"""The files of figures: one shape of row, whether all are of one size or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.bench import figures
from scripts.bench.figures import Row, replace_rows, write, write_rows

SHAPE = ["figure", "n", "value", "unit", "machine", "date", "how"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(figures, "FOLDER", tmp_path)
    return tmp_path


def test_rows_of_different_sizes_stand_in_one_file(folder: Path) -> None:
    write_rows("gas.json", [Row("gas_clear", n, 100.5 * n, "gas", f"of {n}") for n in (10, 1000)])
    rows = json.loads((folder / "gas.json").read_text())
    assert [list(row) for row in rows] == [SHAPE, SHAPE]
    assert [(row["n"], row["value"], row["how"]) for row in rows] == [(10, 1005, "of 10"), (1000, 100_500, "of 1000")]


def test_one_measurement_gives_rows_of_one_size(folder: Path) -> None:
    write("day.json", 28, "played once", {"day_s": (114.3, "s"), "bids": (365, "bids")})
    rows = json.loads((folder / "day.json").read_text())
    assert [list(row) for row in rows] == [SHAPE, SHAPE]
    assert {(row["n"], row["how"]) for row in rows} == {(28, "played once")}
    assert {row["figure"]: (row["value"], row["unit"]) for row in rows} == {
        "day_s": (114.3, "s"),
        "bids": (365, "bids"),
    }


def test_figures_measured_again_take_the_place_of_theirs_alone(folder: Path) -> None:
    replace_rows("assembly.json", [Row("first", 1, 1.0, "%", ""), Row("second", 1, 2.0, "%", "")])
    replace_rows("assembly.json", [Row("first", 1, 3.0, "%", "")])
    rows = json.loads((folder / "assembly.json").read_text())
    assert [list(row) for row in rows] == [SHAPE, SHAPE]
    assert {row["figure"]: row["value"] for row in rows} == {"second": 2.0, "first": 3.0}
