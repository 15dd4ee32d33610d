"""What a DSO expects at its node: forecast power of every connection point, with or without a nanogrid of ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from market.domain.baselines import FORECAST_FORMAT
from market.grid.powerflow import Injection

FORECAST_FILE: Final = "forecast.json"


class ForecastError(ValueError):
    """A forecast file that cannot be used, or an interval that it does not cover."""


@dataclass(frozen=True, slots=True)
class PointForecast:
    """Forecast of a connection point, one value an interval [W, var; load convention].

    nanogrid: its id on the chain, None for a point that takes no part in the market.
    """

    bus: int
    nanogrid: int | None
    p_w: tuple[int, ...]
    q_var: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NodeForecast:
    """Forecast of a node from `first_interval` [epoch s] in steps of `step_s`; grid: its pandapower JSON."""

    name: str
    grid: Path
    transformer_kva: float
    first_interval: int
    step_s: int
    points: tuple[PointForecast, ...]

    @property
    def candidate_buses(self) -> tuple[int, ...]:
        """Buses where nanogrids can offer flexibility."""
        return tuple(sorted({point.bus for point in self.points if point.nanogrid is not None}))

    @property
    def bus_of(self) -> dict[int, int]:
        """Nanogrid → its bus."""
        return {point.nanogrid: point.bus for point in self.points if point.nanogrid is not None}

    def injections(self, interval: int, baseline_w: Mapping[int, float] | None = None) -> dict[int, Injection]:
        """Bus → expected power in an interval [epoch s].

        baseline_w: nanogrid → mean power of its anchored baseline [W], which replaces the forecast.
        Before the first interval the first values hold. Raises ForecastError after the last one.
        """
        step = max(0, (interval - self.first_interval) // self.step_s)
        if self.points and step >= len(self.points[0].p_w):
            raise ForecastError(f"the forecast of {self.name} ends before interval {interval}")
        drawn: dict[int, Injection] = {}
        for point in self.points:
            p_w: float = point.p_w[step]
            if baseline_w is not None and point.nanogrid is not None:
                p_w = baseline_w.get(point.nanogrid, p_w)
            drawn[point.bus] = drawn.get(point.bus, Injection()) + Injection(p_w, point.q_var[step])
        return drawn


def write_forecast(forecast: NodeForecast, path: Path) -> None:
    """Writes the file that `read_forecast` reads; the grid's path is kept relative to its folder."""
    data = {
        "format": FORECAST_FORMAT,
        "name": forecast.name,
        "grid": str(forecast.grid.relative_to(path.parent)),
        "transformer_kva": forecast.transformer_kva,
        "first_interval": forecast.first_interval,
        "step_s": forecast.step_s,
        "points": [
            {"bus": point.bus, "nanogrid": point.nanogrid, "p_w": point.p_w, "q_var": point.q_var}
            for point in forecast.points
        ],
    }
    path.write_text(json.dumps(data, separators=(",", ":")) + "\n", encoding="utf-8")


def read_forecast(path: Path) -> NodeForecast:
    """The forecast of a file. Raises ForecastError, OSError."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORECAST_FORMAT:
            raise ForecastError(f"format {data['format']} of {path} is not {FORECAST_FORMAT}")
        return NodeForecast(
            name=str(data["name"]),
            grid=path.parent / data["grid"],
            transformer_kva=float(data["transformer_kva"]),
            first_interval=int(data["first_interval"]),
            step_s=int(data["step_s"]),
            points=tuple(
                PointForecast(int(item["bus"]), item["nanogrid"], tuple(item["p_w"]), tuple(item["q_var"]))
                for item in data["points"]
            ),
        )
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ForecastError(f"{path} is no forecast of a node: {error!r}") from error
