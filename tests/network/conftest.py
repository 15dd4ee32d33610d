"""One network for all tests, in a temporary folder that is removed: it would leave hundreds of megabytes."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from market.domain.signing import address_of
from market.settings import ChainProfile
from scripts.network.build import Programs
from scripts.network.creation import create_network
from scripts.network.layout import Layout
from scripts.network.validators import Validators, await_health
from tests.chain.world import KEYS
from tests.network.world import PARAMETERS, Network, NetworkWorld

RPC_AT = "operator"
"""The validator whose node the market uses."""


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """Five validators in good health; the chain is empty."""
    folder = Path(tempfile.mkdtemp(prefix="meritgrid-network-"))
    try:
        layout, programs = Layout(folder), Programs()
        started = time.monotonic()
        admins, managers = [address_of(KEYS["operator"])], [address_of(KEYS["relayer"])]
        create_network(layout, admins, managers, programs=programs)
        created = time.monotonic()
        with Validators(layout, programs.node) as validators:
            validators.start()
            await_health(list(validators))
            yield Network(layout, validators, created - started, time.monotonic() - created)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def world(network: Network, tmp_path_factory: pytest.TempPathFactory) -> NetworkWorld:
    """The market, deployed, registered, funded; whoever is registered may send."""
    database = tmp_path_factory.mktemp("market") / "market.sqlite"
    chain = network.member(RPC_AT)
    built = NetworkWorld.build(chain, f"sqlite:///{database}", ChainProfile.NETWORK, PARAMETERS)
    built.register(built.next_interval(100))
    built.reconcile()
    built.fund()
    return built
