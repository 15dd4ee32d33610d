"""A scenario as a folder, for the processes of the demonstration.

scenario.json: what it is. grid.json: the network. forecast.json: for the DSO's desk (market.grid.forecasts).
nanogrids/00000.json …: for the gateways (gateway_agent.drivers.simulated.profile). passive/00028.json …: the
connection points outside the market, for the report's power flow.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from shutil import copyfile
from typing import Any, Final

from gateway_agent.drivers.simulated.profile import SimulatedNanogrid, read_nanogrid, write_nanogrid
from market.grid.forecasts import FORECAST_FILE, write_forecast
from scripts.demo.extract import ExtractError
from scripts.demo.scenario import Scenario, node_forecast

SCENARIO_FILE: Final = "scenario.json"
NANOGRIDS: Final = "nanogrids"
PASSIVE: Final = "passive"


def nanogrid_path(folder: Path, index: int) -> Path:
    """File of a nanogrid in a scenario's folder."""
    return folder / NANOGRIDS / f"{index:05}.json"


def write_scenario(scenario: Scenario, folder: Path) -> Scenario:
    """Writes all files; returns the scenario that uses the folder's copy of the grid."""
    folder.mkdir(parents=True, exist_ok=True)
    grid = folder / "grid.json"
    copyfile(scenario.grid, grid)
    written = replace(scenario, grid=grid)
    for name, points in ((NANOGRIDS, scenario.nanogrids), (PASSIVE, scenario.passive)):
        (folder / name).mkdir(exist_ok=True)
        for point in points:
            write_nanogrid(point, folder / name / f"{point.index:05}.json")
    write_forecast(node_forecast(written), folder / FORECAST_FILE)
    data = {
        "name": scenario.name,
        "day": scenario.day.isoformat(),
        "label": scenario.label,
        "seed": scenario.seed,
        "transformer_kva": scenario.transformer_kva,
        "first_interval": scenario.first_interval,
        "step_s": scenario.step_s,
        "nanogrids": len(scenario.nanogrids),
        "passive": len(scenario.passive),
    }
    (folder / SCENARIO_FILE).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return written


def read_scenario(folder: Path) -> Scenario:
    """The scenario of a folder. Raises ExtractError, ProfileError."""
    try:
        data: dict[str, Any] = json.loads((folder / SCENARIO_FILE).read_text(encoding="utf-8"))
        return Scenario(
            name=data["name"],
            day=date.fromisoformat(data["day"]),
            label=data["label"],
            seed=data["seed"],
            grid=folder / "grid.json",
            transformer_kva=data["transformer_kva"],
            first_interval=data["first_interval"],
            step_s=data["step_s"],
            nanogrids=_read_points(folder / NANOGRIDS, 0, data["nanogrids"]),
            passive=_read_points(folder / PASSIVE, data["nanogrids"], data["passive"]),
        )
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ExtractError(f"{folder} holds no scenario: {error!r}") from error


def _read_points(folder: Path, first: int, count: int) -> tuple[SimulatedNanogrid, ...]:
    return tuple(read_nanogrid(folder / f"{index:05}.json") for index in range(first, first + count))
