"""File of a simulated nanogrid: its plant, the state it starts in, and the values that it plays. Plain JSON.

Standard library only, as the gateway needs it; the demo's scenario writes these files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway_agent.drivers.simulated.plant import Plant, PlantState, ProfileValues

FORMAT: Final = 1


class ProfileError(ValueError):
    """A profile file that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Series:
    """Values of consecutive steps; before the first and after the last one these two hold."""

    first_interval: int
    step_s: int
    load_w: tuple[int, ...]
    load_var: tuple[int, ...]
    pv_available_w: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.step_s <= 0 or not self.load_w:
            raise ProfileError("a series needs a positive step and at least one value")
        if not len(self.load_w) == len(self.load_var) == len(self.pv_available_w):
            raise ProfileError("load_w, load_var and pv_available_w must be equally long")

    def at(self, moment_s: float) -> ProfileValues:
        """Values that hold at `moment_s` [epoch s]."""
        step = min(max(int((moment_s - self.first_interval) // self.step_s), 0), len(self.load_w) - 1)
        return ProfileValues(self.load_w[step], self.load_var[step], self.pv_available_w[step])


@dataclass(frozen=True, slots=True)
class SimulatedNanogrid:
    """What a simulated gateway plays. index: of the nanogrid in its portfolio; bus: its bus of the grid.

    actual: what happens. forecast: what is known beforehand, with its error.
    """

    index: int
    name: str
    bus: int
    rated_power_w: int
    plant: Plant
    initial_state: PlantState
    actual: Series
    forecast: Series

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "format": FORMAT,
            "index": self.index,
            "name": self.name,
            "bus": self.bus,
            "rated_power_w": self.rated_power_w,
            "plant": self.plant.to_json(),
            "initial_state": self.initial_state.to_json(),
            "first_interval": self.actual.first_interval,
            "step_s": self.actual.step_s,
            "actual": _columns(self.actual),
            "forecast": _columns(self.forecast),
        }


def _columns(series: Series) -> dict[str, Sequence[int]]:
    return {"load_w": series.load_w, "load_var": series.load_var, "pv_available_w": series.pv_available_w}


def nanogrid_from_json(data: dict[str, Any]) -> SimulatedNanogrid:
    """The nanogrid of `to_json`. Raises ProfileError for anything else."""
    try:
        if data["format"] != FORMAT:
            raise ProfileError(f"format {data['format']} is not {FORMAT}")
        actual, forecast = (
            Series(int(data["first_interval"]), int(data["step_s"]), **{k: tuple(v) for k, v in data[name].items()})
            for name in ("actual", "forecast")
        )
        return SimulatedNanogrid(
            index=int(data["index"]),
            name=str(data["name"]),
            bus=int(data["bus"]),
            rated_power_w=int(data["rated_power_w"]),
            plant=Plant.from_json(data["plant"]),
            initial_state=PlantState.from_json(data["initial_state"]),
            actual=actual,
            forecast=forecast,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ProfileError(f"no file of a simulated nanogrid: {error!r}") from error


def read_nanogrid(path: Path) -> SimulatedNanogrid:
    """The nanogrid of a file. Raises ProfileError, OSError."""
    try:
        return nanogrid_from_json(json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise ProfileError(f"{path} is not JSON: {error}") from error


def write_nanogrid(nanogrid: SimulatedNanogrid, path: Path) -> None:
    """Writes the file that `read_nanogrid` reads."""
    path.write_text(json.dumps(nanogrid.to_json(), separators=(",", ":")) + "\n", encoding="utf-8")
