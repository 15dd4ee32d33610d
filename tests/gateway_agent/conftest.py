"""Fixtures: a broker and a small oracle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from market.tasks import ended
from tests.gateway_agent.world import Broker, SmallOracle, eventually


@pytest.fixture
def broker(tmp_path: Path, free_port: int) -> Iterator[Broker]:
    found = Broker(tmp_path, free_port)
    found.start()
    yield found
    found.kill()


@pytest.fixture
async def small_oracle(broker: Broker) -> AsyncIterator[SmallOracle]:
    oracle = SmallOracle(broker.port)
    task = asyncio.create_task(oracle.run())
    await eventually(lambda: oracle._client is not None)
    yield oracle
    await ended(task)
