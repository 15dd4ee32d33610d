"""`meritgrid grid check`: the power flow of a forecast file, interval by interval."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress, track
from rich.table import Table

from market.cli_choices import AnyInterval
from market.cli_session import AsJson, err, out, refusals
from market.domain.intervals import iso

if TYPE_CHECKING:
    from market.desks.node_grid import NodeGrid
    from market.grid.congestion import Limits

grid = typer.Typer(help="A node's low-voltage grid: check a forecast by power flow.", no_args_is_help=True)


@grid.callback()
def _grid() -> None:
    """Keeps `check` a sub-command."""


@grid.command("check")
def check(
    forecast: Annotated[Path, typer.Argument(help="The node's forecast file, which names its network.")],
    interval: AnyInterval = None,
    transformer_kva: Annotated[
        float | None, typer.Option(help="Another rating of the transformer than the file's [kVA].")
    ] = None,
    loading_percent: Annotated[float, typer.Option(help="Limit of loading [% of rating].")] = 100.0,
    voltage_percent: Annotated[float, typer.Option(help="Limit of voltage [± % of nominal].")] = 10.0,
    all_intervals: Annotated[bool, typer.Option("--all", help="Show the intervals inside the limits too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the power flow on a forecast: worst element, its loading, worst voltage, and the energy that is needed.

    The needed energy brings everything just inside the limits when the nanogrids share the change evenly.

    Example: meritgrid grid check scenario/forecast.json --transformer-kva 160
    """
    from market.grid.congestion import Limits

    with refusals(as_json):
        node = _node_grid(forecast, transformer_kva)
        rows = _assess(node, Limits(loading_percent, voltage_percent / 100), interval)
    congested = [row for row in rows if row["phase"] != "GREEN"]
    if as_json:
        typer.echo(json.dumps({"name": node.forecast.name, "congested": len(congested), "items": rows}))
        return
    _print(rows if all_intervals or interval is not None else congested, node.forecast.name)
    worst = max(rows, key=lambda row: row["loading_percent"] or float("inf"))
    out.print(
        f"{len(congested)} of {len(rows)} intervals break a limit. "
        f"Worst: {worst['element_name'] or 'no solution'} at {worst['loading_percent']} % in {iso(worst['interval'])}."
    )


def _node_grid(path: Path, transformer_kva: float | None) -> NodeGrid:
    from market.desks.node_grid import NodeGrid
    from market.grid.forecasts import read_forecast
    from market.grid.network import load_network
    from market.grid.powerflow import PowerFlow

    forecast = read_forecast(path)
    with Progress(*Progress.get_default_columns(), console=err, transient=True) as progress:
        progress.add_task("Reading the network", total=None)
        network = load_network(forecast.grid, transformer_kva or forecast.transformer_kva)
        return NodeGrid(PowerFlow(network), forecast)


def _assess(node: NodeGrid, limits: Limits, only: int | None) -> list[dict[str, Any]]:
    forecast = node.forecast
    steps = len(forecast.points[0].p_w) if forecast.points else 0
    every = [forecast.first_interval + step * forecast.step_s for step in range(steps)]
    intervals: Iterable[int] = every if only is None else [only]
    return [
        _assess_one(node, limits, interval)
        for interval in track(intervals, "Power flow", console=err, transient=True, disable=not err.is_terminal)
    ]


def _assess_one(node: NodeGrid, limits: Limits, interval: int) -> dict[str, Any]:
    from market.grid.congestion import need, violations

    injections = node.injections(interval, {})
    state = node.power_flow.solve(injections)
    row: dict[str, Any] = {"interval": interval, "phase": "GREEN", "needed_energy_wh": 0, "direction": None}
    if state.worst_element is None or state.worst_voltage is None:
        nothing = ("element", "element_name", "loading_percent", "voltage_bus", "voltage_pu", "violated")
        return row | dict.fromkeys(nothing) | {"phase": "NO SOLUTION", "needed_energy_wh": None}
    row |= {key: value for key, value in node.describe(state).items() if key != "text"}
    broken = violations(state, limits)
    row["violated"] = [violation.element for violation in broken]
    if broken:
        wanted = need(
            node.power_flow,
            injections,
            limits,
            candidates=node.forecast.candidate_buses or None,
            span_s=node.forecast.step_s,
        )
        row["phase"] = "YELLOW"
        if wanted is not None:
            row |= {"needed_energy_wh": wanted.energy_wh, "direction": wanted.direction.name}
    return row


def _print(rows: list[dict[str, Any]], name: str) -> None:
    if not rows:
        return
    table = Table(title=f"Power flow of {name}", title_justify="left")
    for heading in ("interval", "phase", "worst element", "loading %", "p.u.", "needed Wh"):
        table.add_column(heading, no_wrap=heading != "worst element", overflow="fold")
    for row in rows:
        needed = "" if row["direction"] is None else f"{row['needed_energy_wh']} {row['direction']}"
        cells = (
            row["phase"],
            row["element_name"],
            row["loading_percent"],
            row["voltage_pu"],
            needed,
        )
        table.add_row(iso(row["interval"]), *(str(cell) for cell in cells))
    out.print(table)
