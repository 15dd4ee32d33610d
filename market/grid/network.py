"""A node's low-voltage grid: pandapower JSON in, a network with one load for each bus out."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandapower as pp

HIGH_VOLTAGE_KV = 1.0
"""Above this nominal voltage a bus is the feeding side, where nobody of ours is connected. [kV]"""


class GridDataError(ValueError):
    """A grid file that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Network:
    """A grid without its own loads and generation.

    buses: low-voltage buses where power may be injected. load_buses: bus of each load of the file, by its index.
    elements: key ("transformer:0", "line:7", "bus:5") → name. `net` is the pandapower network: read it, never
    change it (`PowerFlow` works on its own copy).
    """

    net: Any
    buses: tuple[int, ...]
    load_buses: Mapping[int, int]
    elements: Mapping[str, str]
    transformer_kva: float
    nominal_voltage_v: Mapping[int, float]


def load_network(path: Path, transformer_kva: float | None = None) -> Network:
    """The network of a pandapower JSON file.

    transformer_kva: another rating for every transformer [kVA]; its relative impedances stay, its iron losses grow
    with the rating. Raises GridDataError for a file that is no such network or has no transformer or slack.
    pandapower builds the objects that the file names: read only files of one's own.
    """
    try:
        net = pp.from_json(str(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserWarning) as error:
        raise GridDataError(f"{path} is no pandapower network: {error}") from error
    return network_of(net, transformer_kva)


def network_of(net: Any, transformer_kva: float | None = None) -> Network:
    """The network of a pandapower net (left unchanged); see `load_network`."""
    if not isinstance(net, pp.pandapowerNet):
        raise GridDataError(f"{type(net).__name__} is no pandapower network")
    if not len(net.trafo) or not len(net.ext_grid):
        raise GridDataError("a grid needs a transformer and an external grid that feeds it")
    if transformer_kva is not None and transformer_kva <= 0:
        raise GridDataError(f"a transformer's rating must be positive, not {transformer_kva} kVA")
    net = deepcopy(net)
    load_buses = {int(index): int(bus) for index, bus in net.load.bus.items()}
    for table in ("load", "sgen", "storage", "shunt", "ward", "xward", "motor"):
        net[table].drop(net[table].index, inplace=True)
    _drop_closed_switches(net)
    if transformer_kva is not None:
        net.trafo["pfe_kw"] *= transformer_kva / 1000 / net.trafo["sn_mva"]
        net.trafo["sn_mva"] = transformer_kva / 1000
    low = net.bus.index[(net.bus.vn_kv < HIGH_VOLTAGE_KV) & net.bus.in_service]
    return Network(
        net=net,
        buses=tuple(int(bus) for bus in low),
        load_buses=MappingProxyType(load_buses),
        elements=MappingProxyType(_names(net)),
        transformer_kva=float(net.trafo["sn_mva"].sum() * 1000),
        nominal_voltage_v=MappingProxyType({int(bus): float(net.bus.vn_kv[bus]) * 1000 for bus in low}),
    )


def _drop_closed_switches(net: Any) -> None:
    """Closed switches at lines and transformers change nothing and cost a third of each power flow."""
    idle = net.switch.closed & net.switch.et.isin(["l", "t"])
    net.switch.drop(net.switch.index[idle], inplace=True)


def _names(net: Any) -> dict[str, str]:
    names: dict[str, str] = {}
    for prefix, table in (("transformer", "trafo"), ("line", "line"), ("bus", "bus")):
        for index, name in net[table]["name"].items():
            names[f"{prefix}:{index}"] = str(name) if name else f"{prefix} {index}"
    return names
