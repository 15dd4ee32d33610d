"""What the DSO knows of one node: its network, who is connected where, and its own forecast of the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from market.grid.network import load_network
from market.grid.powerflow import GridState, Injection, PowerFlow

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Series:
    """A forecast by interval: `values[i]` holds for first_interval + i × step_s; before and after, the ends hold."""

    first_interval: int
    step_s: int
    values: Sequence[int]

    def at(self, interval: int) -> int:
        index = (interval - self.first_interval) // self.step_s
        return self.values[min(max(index, 0), len(self.values) - 1)]


@dataclass(frozen=True)
class NodeGrid:
    """Connection points and forecasts of a node.

    bus_of: nanogrid → bus; reactive_var: nanogrid → forecast reactive power [var]; passive_*: bus → forecast of what
    no nanogrid of the market stands for [W, var], load convention.
    """

    power_flow: PowerFlow
    bus_of: Mapping[int, int]
    reactive_var: Mapping[int, Series]
    passive_w: Mapping[int, Series]
    passive_var: Mapping[int, Series]

    def injections(self, interval: int, power_w: Mapping[int, float]) -> dict[int, Injection]:
        """Bus → what it draws when each nanogrid draws `power_w` [W] and the rest follows the forecast.

        A nanogrid whose connection point is not known raises KeyError.
        """
        drawn = {
            bus: Injection(series.at(interval), self.passive_var[bus].at(interval))
            for bus, series in self.passive_w.items()
        }
        for nanogrid, watts in power_w.items():
            bus = self.bus_of[nanogrid]
            reactive = self.reactive_var.get(nanogrid)
            drawn[bus] = drawn.get(bus, Injection()) + Injection(watts, reactive.at(interval) if reactive else 0)
        return drawn

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
    """The node grid of a JSON file: network (path relative to it), transformer_kva, connection_points, forecast."""
    document = json.loads(path.read_text())
    forecast = document["forecast"]

    def series(table: Mapping[str, Sequence[int]]) -> dict[int, Series]:
        return {
            int(key): Series(forecast["first_interval"], forecast["step_s"], values) for key, values in table.items()
        }

    network = load_network(path.parent / document["network"], document.get("transformer_kva"))
    return NodeGrid(
        power_flow=PowerFlow(network),
        bus_of={int(nanogrid): bus for nanogrid, bus in document["connection_points"].items()},
        reactive_var=series(forecast["reactive_var"]),
        passive_w=series(forecast["passive_w"]),
        passive_var=series(forecast["passive_var"]),
    )
