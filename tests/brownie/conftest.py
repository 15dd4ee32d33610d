"""Brownie's tests: run by `make brownie-test` (scripts/brownie/brownie test --network anvil-ci), in .venv-brownie.

Brownie pins old versions of what the market needs new, so the other tests cannot run here, nor these there. Brownie's
own `state_machine` fixture fails with these versions: use Hypothesis' RuleBasedStateMachine.
"""

import functools
import time

import pytest

ANVIL_LAGS_S = 5.0


@pytest.fixture(scope="session", autouse=True)
def patient_chain():
    """anvil counts a transaction's nonce a moment before it shows the transaction; Brownie would call it dropped."""
    from brownie import web3
    from web3.exceptions import TransactionNotFound

    def patient(ask):
        @functools.wraps(ask)
        def asked(*arguments):
            deadline = time.monotonic() + ANVIL_LAGS_S
            while True:
                try:
                    return ask(*arguments)
                except TransactionNotFound:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.01)

        return asked

    for name in ("get_transaction", "get_transaction_receipt"):
        setattr(web3.eth, name, patient(getattr(web3.eth, name)))


@pytest.fixture(autouse=True)
def isolation(fn_isolation):
    """Each test begins with the chain as its file's module fixtures left it."""


@pytest.fixture(scope="module")
def stage(module_isolation):
    """The deployed market with its actors: see stage.py. One for all tests of a file."""
    from stage import Stage  # late: Brownie gives the node only now

    return Stage()
