"""The chains on which the chain layer is tested: the embedded node, and the permissioned network of five validators."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from market.chain.embedded import CHAIN_ID as EMBEDDED_ID
from market.chain.embedded import start_anvil
from market.settings import ChainProfile
from scripts.demo.supervisor import free_port
from scripts.network.layout import CHAIN_ID as NETWORK_ID
from tests.chain.grounds import Ground
from tests.chain.world import KEYS
from tests.clock import TEST_EPOCH
from tests.networks import Network

ON_NETWORK = (pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(900))
"""A story that takes minutes is told within a fixture of its first test."""


CHAINS_AND_DATABASES = [
    pytest.param(("embedded", "sqlite"), id="embedded-sqlite"),
    pytest.param(("embedded", "postgresql"), id="embedded-postgresql", marks=pytest.mark.postgresql),
    pytest.param(("network", "postgresql"), id="network", marks=[*ON_NETWORK, pytest.mark.postgresql]),
]
ONLY_NETWORK = CHAINS_AND_DATABASES[-1:]


@pytest.fixture(scope="module")
def embedded_ground() -> Iterator[Ground]:
    """A fresh node whose clock stands at TEST_EPOCH until it is moved."""
    with start_anvil(free_port(), timestamp=TEST_EPOCH) as chain:
        yield Ground(ChainProfile.EMBEDDED, EMBEDDED_ID, chain, KEYS)


@pytest.fixture(scope="module")
def network_ground(network: Network) -> Ground:
    """The session's network, with actors of the file's own."""
    return Ground(ChainProfile.NETWORK, NETWORK_ID, network, network.cast())


@pytest.fixture(
    scope="module",
    params=[
        ChainProfile.EMBEDDED,
        pytest.param(ChainProfile.NETWORK, marks=ON_NETWORK),
    ],
)
def ground(request: pytest.FixtureRequest) -> Ground:
    """A chain on which the tests of a file may deploy, once for each profile."""
    found: Ground = request.getfixturevalue(f"{request.param.value}_ground")
    return found
