"""`meritgrid grid`: an exported grid becomes a folder, and its forecast is checked by power flow."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run

GRID = "1-LV-rural1--2-sw"


def test_an_imported_grid_is_congested_with_its_own_transformer_and_not_with_a_large_one(
    meritgrid: Run, tmp_path: Path
) -> None:
    imported = meritgrid("grid", "import", GRID, "--to", tmp_path / "scenario", "--json")
    assert imported.code == 0, imported.err
    assert imported.document["nanogrids"] == 28
    forecast = imported.document["forecast"]
    noon = imported.document["first_interval"] + 13 * 3600
    one = meritgrid("grid", "check", forecast, "--interval", noon, "--json").document
    assert one["congested"] == 1
    assert one["items"][0]["element"] == "transformer:0"
    assert one["items"][0]["needed_energy_wh"] > 0
    large = ("--transformer-kva", 400)
    assert meritgrid("grid", "check", forecast, "--interval", noon, *large, "--json").document["congested"] == 0
    assert "1 of 1 intervals break a limit" in meritgrid("grid", "check", forecast, "--interval", noon).out


def test_a_folder_that_holds_something_is_not_overwritten(meritgrid: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    refused = meritgrid("grid", "import", GRID, "--to", tmp_path)
    assert refused.code == 2
    assert "not empty" in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_that_is_no_forecast_is_refused_in_words(meritgrid: Run, tmp_path: Path) -> None:
    path = tmp_path / "forecast.json"
    path.write_text("{}")
    refused = meritgrid("grid", "check", path)
    assert refused.code == 2
    assert "no forecast" in refused.err
