"""Brownie's tests: run by `make brownie-test` (scripts/brownie/brownie test --network anvil-ci), in .venv-brownie.

Brownie pins old versions of what the market needs new, so the other tests cannot run here, nor these there. Brownie's
own `state_machine` fixture fails with these versions: use Hypothesis' RuleBasedStateMachine.
"""

import pytest


@pytest.fixture(autouse=True)
def isolation(fn_isolation):
    """Each test begins with the chain as its file's module fixtures left it."""


@pytest.fixture(scope="module")
def stage(module_isolation):
    """The deployed market with its actors: see stage.py. One for all tests of a file."""
    from stage import Stage  # late: Brownie gives the node only now

    return Stage()
