"""`meritgrid grid`: the market's `check`, and `import`, which makes a folder for the desks from an exported grid."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from market.cli_grid import grid
from market.cli_session import AsJson, refusals, show, waiting

__all__ = ["grid"]


@grid.command("import")
def import_grid(
    source: Annotated[str, typer.Argument(help="Folder of an exported grid, or the name of an installed one.")],
    to: Annotated[Path, typer.Option(help="Folder to make; it must not hold anything yet.")],
    date: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day; default: the grid's first.")] = None,
    seed: Annotated[int, typer.Option(help="Of the forecast errors and of who owns what.")] = 7,
    households: Annotated[int | None, typer.Option(help="Nanogrids; default: one for each load of the grid.")] = None,
    transformer_kva: Annotated[float | None, typer.Option(help="Another rating of the transformer [kVA].")] = None,
    as_json: AsJson = False,
) -> None:
    """Turn an exported grid (scripts/demo/extract_simbench.py) into the folder that desks and simulated gateways use.

    It holds grid.json (the network), forecast.json (for `meritgrid dso run` and `meritgrid grid check`) and
    nanogrids/ (profiles and plants for simulated gateways).

    Example: meritgrid grid import 1-LV-rural1--2-sw --to scenario
    """
    with refusals(as_json), waiting("Building the day"):
        document = _import(source, to, date, seed, households, transformer_kva)
    show(document, as_json, "Imported")


def _import(
    source: str, to: Path, date: datetime | None, seed: int, households: int | None, transformer_kva: float | None
) -> dict[str, Any]:
    from market.grid.forecasts import FORECAST_FILE
    from scripts.demo.extract import extract_folder, read_extract
    from scripts.demo.scenario import ScenarioOptions, build_scenario
    from scripts.demo.scenario_files import write_scenario

    if to.exists() and any(to.iterdir()):
        raise ValueError(f"{to} is not empty")
    day = None if date is None else date.date()
    options = ScenarioOptions(day=day, seed=seed, households=households, transformer_kva=transformer_kva)
    scenario = write_scenario(build_scenario(read_extract(extract_folder(source)), options), to)
    return {
        "name": scenario.name,
        "day": scenario.day.isoformat(),
        "label": scenario.label,
        "transformer_kva": scenario.transformer_kva,
        "first_interval": scenario.first_interval,
        "nanogrids": len(scenario.nanogrids),
        "passive": len(scenario.passive),
        "forecast": str(to / FORECAST_FILE),
    }
