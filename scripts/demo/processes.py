"""How each process of a market is run: its command, its settings, and when it is ready."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from scripts.demo.enrolment import NODE
from scripts.demo.layout import Layout
from scripts.demo.supervisor import ProcessSpec, file_probe, http_probe, tcp_probe

MARGIN_PERCENT: Final = 10.0
"""How far inside its limits the DSO buys: about the error of a forecast an hour ahead [% points of loading]."""
_PYTHON: Final = (sys.executable, "-m", "market.cli")


@dataclass(frozen=True)
class Processes:
    """The processes over one folder.

    ports: of market and broker; environment: settings that all of them share (`shared_settings` and the chain's);
    agents: name → the gateways' folders that it hosts; particular: process → settings of it alone, over the shared;
    runners: process → what runs the product's command line in it, instead of Python itself.
    """

    layout: Layout
    ports: Mapping[str, int]
    environment: Mapping[str, str]
    agents: Mapping[str, Sequence[Path]]
    particular: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    runners: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        """Those that take part in the day, once market and broker are up."""
        return ("oracle", "dso", "aggregator", *self.agents)

    def spec(self, name: str) -> ProcessSpec:
        """How a process is run. Raises KeyError for a name that there is not."""
        build: Mapping[str, Callable[[], ProcessSpec]] = {
            "market": self._market,
            "broker": self._broker,
            "guard": self._guard,
            "oracle": self._oracle,
            "dso": self._dso,
            "aggregator": self._aggregator,
        }
        spec = build[name]() if name in build else self._agent(name)
        command = [*self.runners.get(name, _PYTHON), *spec.command]
        return replace(spec, command=command, environment={**spec.environment, **self.particular.get(name, {})})

    def _market(self) -> ProcessSpec:
        probe = http_probe(self.ports["market"], "/health/ready")
        return ProcessSpec("market", _meritgrid("market", "serve"), self.environment, probe)

    def _broker(self) -> ProcessSpec:
        environment = {**self.environment, "MERITGRID_DATA_DIR": str(self.layout.broker)}
        return ProcessSpec("broker", _meritgrid("broker", "serve"), environment, tcp_probe(self.ports["broker"]))

    def _guard(self) -> ProcessSpec:
        """Of a Mosquitto in `mosquitto` below the broker's folder."""
        command = _meritgrid("broker", "guard", "--folder", self.layout.broker / "mosquitto")
        return ProcessSpec("guard", command, self.environment)

    def _oracle(self) -> ProcessSpec:
        ready = _fresh(self.layout.ready("oracle"))
        options = ("--forecast-file", self.layout.node_forecast, "--ready-file", ready)
        return ProcessSpec("oracle", _meritgrid("oracle", "serve", *options), self.environment, file_probe(ready))

    def _dso(self) -> ProcessSpec:
        grid = ("--grid", self.layout.node_forecast, "--margin-percent", MARGIN_PERCENT)
        return self._desk("dso", "--node", NODE, *grid)

    def _aggregator(self) -> ProcessSpec:
        return self._desk("aggregator")

    def _desk(self, role: str, *options: object) -> ProcessSpec:
        ready = _fresh(self.layout.ready(role))
        own = ("--key-file", self.layout.keys.path(role), "--ready-file", ready)
        return ProcessSpec(role, _meritgrid(role, "run", *options, *own), self.environment, file_probe(ready))

    def _agent(self, name: str) -> ProcessSpec:
        folders: list[Any] = [part for folder in self.agents[name] for part in ("--data", folder)]
        environment = {**self.environment, "MERITGRID_LOG_LEVEL": os.environ.get("MERITGRID_LOG_LEVEL", "INFO")}
        return ProcessSpec(name, _meritgrid("gateway", "run", "--name", name, *folders), environment)


def shared_settings(layout: Layout, ports: Mapping[str, int], database_url: str, password_file: Path) -> dict[str, str]:
    """Settings of market, oracle and desks that do not depend on the chain.

    ports: of market and broker; password_file: the oracle's at the broker.
    """
    market_url = f"http://127.0.0.1:{ports['market']}"
    return {
        "MERITGRID_DATA_DIR": str(layout.database.parent),
        "MERITGRID_DATABASE_URL": database_url,
        "MERITGRID_DEPLOYMENT_FILE": str(layout.deployment),
        "MERITGRID_RELAYER_KEY__FILE": str(layout.keys.path("relayer")),
        "MERITGRID_ORACLE_KEY__FILE": str(layout.keys.path("oracle")),
        "MERITGRID_API__PORT": str(ports["market"]),
        "MERITGRID_API__BASE_URL": market_url,
        # All homes call from one address here, and where time is played, within moments.
        "MERITGRID_API__CALLS_PER_S": "2000",
        "MERITGRID_API__CALLS_AT_ONCE": "20000",
        "MERITGRID_API__ADDRESS_CALLS_PER_S": "2000",
        "MERITGRID_API__ADDRESS_CALLS_AT_ONCE": "20000",
        "MERITGRID_MQTT__PORT": str(ports["broker"]),
        "MERITGRID_MQTT__USERNAME": "oracle",
        "MERITGRID_MQTT__PASSWORD_FILE": str(password_file),
        "MERITGRID_MARKET_URL": market_url,
    }


def _meritgrid(*arguments: object) -> list[str]:
    return list(map(str, arguments))


def _fresh(path: Path) -> Path:
    path.unlink(missing_ok=True)
    return path
