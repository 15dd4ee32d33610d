"""The invariants of the whole contract system over random sequences of every call."""

from __future__ import annotations

import pytest

from scripts.invariants.campaign import Campaign, compiler, forge_settings, play

SEED = 20261121
RUNS = 150
DEPTH = 250
LEAST_CALLS = 50_000


@pytest.fixture(scope="module")
def campaign() -> Campaign:
    return play(SEED, RUNS, DEPTH, name="ci")


def test_the_handlers_are_compiled_by_the_contracts_compiler() -> None:
    settings = forge_settings()
    assert settings["solc"].endswith(compiler().solc_path.name)
    assert settings["optimizer_runs"] == compiler().optimizer_runs


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_sequence_of_calls_breaks_an_invariant(campaign: Campaign) -> None:
    assert campaign.reverts == 0
    assert campaign.calls >= LEAST_CALLS


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_call_and_every_state_was_reached(campaign: Campaign) -> None:
    assert campaign.coverage.gaps == []
