"""Permissioned networks in temporary folders that are removed: they would leave hundreds of megabytes. One is for all
tests of a session that can share it."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from market.domain.signing import address_of
from scripts.network.build import Programs
from scripts.network.creation import create_network
from scripts.network.layout import Layout, Member
from scripts.network.validators import Validators, await_health
from tests.chain.world import KEYS, actors_of

RPC_AT: Final = "operator"
"""The validator whose node the market uses."""
CASTS: Final[tuple[Mapping[str, bytes], ...]] = tuple(actors_of(f"cast {number}") for number in range(8))
"""Keys for deployments of their own: at genesis they stand above the lists, which follow one registry only."""


@dataclass
class Network:
    """A network whose validators are children of the tests."""

    layout: Layout
    validators: Validators
    seconds_to_create: float
    seconds_to_start: float
    casts_given: int = 0

    def member(self, name: str) -> Member:
        return self.validators[name].member

    @property
    def rpc_url(self) -> str:
        """The market's own node."""
        return self.member(RPC_AT).rpc_url

    def all_up(self) -> None:
        """Start who is down, and wait until all are in good health."""
        self.validators.start()
        await_health(list(self.validators))

    def cast(self) -> Mapping[str, bytes]:
        """Keys that no test has used yet."""
        self.casts_given += 1
        return CASTS[self.casts_given - 1]


@contextmanager
def running_network() -> Iterator[Network]:
    """Five validators in good health; the chain is empty."""
    folder = Path(tempfile.mkdtemp(prefix="meritgrid-network-"))
    try:
        layout, programs = Layout(folder), Programs()
        started = time.monotonic()
        managers = [KEYS["relayer"], *(key for cast in CASTS for key in cast.values())]
        create_network(layout, [address_of(KEYS["operator"])], list(map(address_of, managers)), programs=programs)
        created = time.monotonic()
        with Validators(layout, programs.node) as validators:
            validators.start()
            await_health(list(validators))
            yield Network(layout, validators, created - started, time.monotonic() - created)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """The session's network."""
    with running_network() as running:
        yield running
