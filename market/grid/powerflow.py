"""Power flow of a node's grid: injections of the buses in, loading and voltage out.

pandapower's Newton-Raphson solver. The network is built once, later solves reuse it and always start at the same
voltages (those without load), so that equal injections give equal results whatever was solved before.

It solves without numba. Compiling takes two seconds at every start, as pandapower keeps hardly any of it on disk,
and saves two to five milliseconds a solve in the grid of a village, of which a desk needs some hundred an interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pandapower as pp
from pandapower.pypower.idx_bus import VA, VM

from market.grid.network import Network

_EMPTY: Mapping[Any, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Injection:
    """What a bus draws: + withdrawal, - injection [W, var]."""

    p_w: float = 0
    q_var: float = 0

    def __add__(self, other: Injection) -> Injection:
        return Injection(self.p_w + other.p_w, self.q_var + other.q_var)


Injections = Mapping[int, Injection]
"""Bus → what it draws; a bus that is not named draws nothing."""


@dataclass(frozen=True, slots=True)
class GridState:
    """Result of a power flow.

    loading_percent: element key → loading [% of rating, by current]. vm_pu: bus → voltage [p.u. of nominal].
    transformer_p_w, transformer_q_var: drawn from medium voltage, + = import [W, var].
    When the power flow did not converge `converged` is False and there are no values.
    """

    converged: bool
    loading_percent: Mapping[str, float] = field(default_factory=lambda: _EMPTY)
    vm_pu: Mapping[int, float] = field(default_factory=lambda: _EMPTY)
    transformer_p_w: float = 0.0
    transformer_q_var: float = 0.0

    @property
    def worst_element(self) -> tuple[str, float] | None:
        """Key and loading [%] of the most loaded element; None when not converged."""
        return max(self.loading_percent.items(), key=lambda item: item[1]) if self.converged else None

    @property
    def transformer_loading_percent(self) -> float:
        """Loading of the most loaded transformer [%]; 0 when not converged."""
        return max((value for key, value in self.loading_percent.items() if key.startswith("transformer")), default=0.0)

    @property
    def worst_voltage(self) -> tuple[int, float] | None:
        """Bus and voltage [p.u.] farthest from nominal; None when not converged."""
        return max(self.vm_pu.items(), key=lambda item: abs(item[1] - 1)) if self.converged else None


class PowerFlow:
    """Solver for one network, with its own copy of it. Not for use by several threads at once."""

    def __init__(self, network: Network) -> None:
        """Raises pandapower.LoadflowNotConverged when the grid has no solution even without load."""
        self.network = network
        self._net = deepcopy(network.net)
        for bus in network.buses:
            pp.create_load(self._net, bus, p_mw=0.0, q_mvar=0.0)
        self._row = {bus: row for row, bus in enumerate(network.buses)}
        self._recycle = {"bus_pq": True, "trafo": False, "gen": False}
        self._start_cold()

    def _start_cold(self) -> None:
        net = self._net
        net["_ppc"] = None
        net.load[["p_mw", "q_mvar"]] = 0.0
        pp.runpp(net, numba=False, recycle=self._recycle)
        self._start_voltages = net["_ppc"]["bus"][:, [VM, VA]].copy()

    def solve(self, injections: Injections) -> GridState:
        """State of the grid under `injections`. Raises KeyError for a bus that the network has not."""
        p_mw, q_mvar = np.zeros(len(self._row)), np.zeros(len(self._row))
        for bus, injection in injections.items():
            p_mw[self._row[bus]] = injection.p_w / 1e6
            q_mvar[self._row[bus]] = injection.q_var / 1e6
        net = self._net
        net["_ppc"]["bus"][:, [VM, VA]] = self._start_voltages
        net.load["p_mw"], net.load["q_mvar"] = p_mw, q_mvar
        try:
            pp.runpp(net, numba=False, recycle=self._recycle)
        except pp.LoadflowNotConverged:
            self._start_cold()
            return GridState(converged=False)
        return self._read()

    def _read(self) -> GridState:
        net = self._net
        loading = {f"transformer:{i}": float(v) for i, v in net.res_trafo["loading_percent"].items()}
        loading |= {f"line:{i}": float(v) for i, v in net.res_line["loading_percent"].items()}
        vm = net.res_bus["vm_pu"]
        return GridState(
            converged=True,
            loading_percent=MappingProxyType(loading),
            vm_pu=MappingProxyType({bus: float(vm.at[bus]) for bus in self.network.buses}),
            transformer_p_w=float(net.res_trafo["p_hv_mw"].sum() * 1e6),
            transformer_q_var=float(net.res_trafo["q_hv_mvar"].sum() * 1e6),
        )


def with_changes(injections: Injections, change_w: Mapping[int, float]) -> dict[int, Injection]:
    """`injections` with bus → change of active power [W, load convention] added."""
    changed = dict(injections)
    for bus, delta_w in change_w.items():
        changed[bus] = changed.get(bus, Injection()) + Injection(delta_w)
    return changed
