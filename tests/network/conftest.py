"""The market on the session's network."""

from __future__ import annotations

import pytest

from market.settings import ChainProfile
from tests.network.world import PARAMETERS, NetworkWorld
from tests.networks import Network


@pytest.fixture(scope="session")
def world(network: Network, tmp_path_factory: pytest.TempPathFactory) -> NetworkWorld:
    """The market, deployed, registered, funded; whoever is registered may send."""
    database = tmp_path_factory.mktemp("market") / "market.sqlite"
    built = NetworkWorld.build(network, f"sqlite:///{database}", ChainProfile.NETWORK, PARAMETERS)
    built.register(built.next_interval(100))
    built.reconcile()
    built.fund()
    return built
