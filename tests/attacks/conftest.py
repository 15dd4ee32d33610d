"""One chain for all attacks of a worker; each test begins where the market was prepared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from market.chain.embedded import start_anvil
from scripts.demo.supervisor import free_port
from tests.attacks.arena import Arena, Outcome
from tests.conftest import TEST_EPOCH


@pytest.fixture(scope="session")
def prepared_arena() -> Iterator[Arena]:
    with start_anvil(free_port(), timestamp=TEST_EPOCH) as chain:
        arena = Arena.build(chain)
        assert isinstance(arena, Arena)
        arena.prepare()
        yield arena


@pytest.fixture
def arena(prepared_arena: Arena) -> Iterator[Arena]:
    """The prepared market; what a test does to it is taken back."""
    with prepared_arena.taken_back():
        yield prepared_arena


@pytest.fixture(scope="session")
def honest_outcome(prepared_arena: Arena) -> Outcome:
    """What the honest story comes to when nobody attacks."""
    with prepared_arena.taken_back():
        outcome = prepared_arena.conclude(prepared_arena.honest_offer())
    assert outcome.awards == {1: 400, 2: 600}
    return outcome
