"""The extracts of the repository, their networks and solvers, each made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from market.grid.network import Network, load_network
from market.grid.powerflow import Injection, PowerFlow
from scripts.demo.extract import Extract, read_extract

GRIDS = Path(__file__).parents[2] / "scripts" / "demo" / "grids"


@pytest.fixture(scope="session")
def rural() -> Extract:
    """1-LV-rural1--2-sw: 28 loads, 8 PV plants, 5 hybrid storages, 160 kVA."""
    return read_extract(GRIDS / "1-LV-rural1--2-sw")


@pytest.fixture(scope="session")
def semiurban() -> Extract:
    """1-LV-semiurb4--2-sw: 58 loads, 400 kVA."""
    return read_extract(GRIDS / "1-LV-semiurb4--2-sw")


@pytest.fixture(scope="session")
def network(rural: Extract) -> Network:
    """The rural network with its own 160 kVA transformer."""
    return load_network(rural.grid_path)


@pytest.fixture(scope="session")
def power_flow(network: Network) -> PowerFlow:
    """A solver of the rural network."""
    return PowerFlow(network)


@pytest.fixture
def exporting(network: Network) -> dict[int, Injection]:
    """Every bus feeds 16 kW: the transformer is overloaded by export."""
    return {bus: Injection(-16_000, 1_000) for bus in network.buses}


@pytest.fixture
def importing(network: Network) -> dict[int, Injection]:
    """Every bus draws 12.5 kW: the transformer is overloaded by import."""
    return {bus: Injection(12_500, 3_000) for bus in network.buses}
