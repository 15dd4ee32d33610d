"""Fixtures that every area of the tests may use: real parts only, on free ports, ended by id."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from market.chain.embedded import EmbeddedChain, start_anvil
from market.observability import TALKATIVE
from scripts.demo.supervisor import free_port as taken_by_nobody
from tests.clock import TEST_EPOCH
from tests.databases import (
    database_url,
    migrated_database_url,
    migrated_template,
    module_database_url,
    postgresql_cluster,
    postgresql_database,
    postgresql_server,
    production_database,
)
from tests.networks import network

__all__ = [
    "TEST_EPOCH", "anvil", "database_url", "free_port", "free_ports", "migrated_database_url", "migrated_template",
    "module_anvil", "module_database_url", "network", "postgresql_cluster", "postgresql_database", "postgresql_server",
    "production_database",
]  # fmt: skip

# A machine that is busy with something else is no fault of a property.
settings.register_profile("meritgrid", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("meritgrid")

os.environ["COLUMNS"] = "200"  # tables of the command line: a console takes its width when it is made


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A command line that runs within a test sets up the process's log, on streams that end with the test: undo it."""
    root = logging.getLogger()
    before, handlers, level = structlog.get_config(), root.handlers[:], root.level
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on."""
    return taken_by_nobody()


@pytest.fixture
def free_ports() -> Callable[[], int]:
    """Gives another free port at each call."""
    return taken_by_nobody


@pytest.fixture
def anvil() -> Iterator[EmbeddedChain]:
    """A fresh node whose clock stands at TEST_EPOCH until `set_block_time` moves it."""
    with start_anvil(taken_by_nobody(), timestamp=TEST_EPOCH) as chain:
        yield chain


@pytest.fixture(scope="module")
def module_anvil() -> Iterator[EmbeddedChain]:
    """As `anvil`, one for all tests of a file: use evm_snapshot and evm_revert between them."""
    with start_anvil(taken_by_nobody(), timestamp=TEST_EPOCH) as chain:
        yield chain
