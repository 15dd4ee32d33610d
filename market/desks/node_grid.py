"""What the DSO's desk knows of its node: the network, and the forecast of every connection point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from market.grid.forecasts import NodeForecast, read_forecast
from market.grid.network import load_network
from market.grid.powerflow import GridState, Injection, PowerFlow

SECONDS_PER_HOUR: Final = 3600


@dataclass(frozen=True)
class NodeGrid:
    """A node's power flow and forecast."""

    power_flow: PowerFlow
    forecast: NodeForecast

    def covers(self, interval: int) -> bool:
        """Whether there is a forecast for an interval; before the first one its values hold."""
        points = self.forecast.points
        steps = len(points[0].p_w) if points else 0
        return interval < self.forecast.first_interval + steps * self.forecast.step_s

    def bus_of(self, nanogrid: int) -> int | None:
        """Bus of a nanogrid's connection point; None for one that the forecast does not know."""
        return self.forecast.bus_of.get(nanogrid)

    def injections(self, interval: int, power_w: Mapping[int, float]) -> dict[int, Injection]:
        """Bus → what it draws when nanogrids draw `power_w` [W] and the rest follows the forecast."""
        return self.forecast.injections(interval, power_w)

    def describe(self, state: GridState) -> dict[str, Any]:
        """The published reason of a signal: worst element, loading [%] and voltage [p.u.], and one sentence."""
        if state.worst_element is None or state.worst_voltage is None:
            return {"element": None, "text": "The power flow has no solution."}
        key, loading = state.worst_element
        bus, voltage = state.worst_voltage
        name = self.power_flow.network.elements[key]
        return {
            "element": key,
            "element_name": name,
            "loading_percent": round(loading, 2),
            "transformer_loading_percent": round(state.transformer_loading_percent, 2),
            "voltage_bus": f"bus:{bus}",
            "voltage_pu": round(voltage, 4),
            "text": f"{name} at {loading:.0f} %, voltage {voltage:.3f} p.u.",
        }


def load_node_grid(path: Path) -> NodeGrid:
    """The node of a forecast file (market.grid.forecasts), which names its network. Raises ForecastError, OSError."""
    forecast = read_forecast(path)
    return NodeGrid(PowerFlow(load_network(forecast.grid, forecast.transformer_kva)), forecast)
