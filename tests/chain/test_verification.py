"""Verification of a deployment: the same code and parameters pass, anything else is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account import Account
from web3 import Web3

from market.chain.bindings import artifact
from market.chain.deployment import (
    CONTRACT_NAMES,
    CREATION_GAS,
    Deployment,
    DeploymentError,
    DeploymentParameters,
    deploy,
    plan,
)
from market.chain.embedded import EmbeddedChain
from market.chain.verification import verify

DEPLOYER = Account.from_key("0x" + "11" * 32)
PARAMETERS = DeploymentParameters()


@pytest.fixture
def web3(anvil: EmbeddedChain) -> Web3:
    return Web3(Web3.HTTPProvider(anvil.rpc_url))


def problems(web3: Web3, deployment: Deployment) -> dict[str, str]:
    return {finding.name: finding.problem for finding in verify(web3, deployment) if finding.problem is not None}


def test_a_deployment_of_this_repository_is_verified(web3: Web3) -> None:
    deployment = deploy(web3, DEPLOYER, PARAMETERS)
    findings = verify(web3, deployment)
    assert [finding.name for finding in findings] == list(CONTRACT_NAMES)
    assert {finding.name: finding.address for finding in findings} == deployment.addresses
    assert problems(web3, deployment) == {}


def test_it_is_found_behind_other_transactions_of_the_deployer(web3: Web3) -> None:
    deploy(web3, DEPLOYER, PARAMETERS)
    second = deploy(web3, DEPLOYER, replace(PARAMETERS, hold_bond_ueur=1))
    assert problems(web3, second) == {}


def test_other_parameters_than_those_on_record_are_named(web3: Web3) -> None:
    deployment = deploy(web3, DEPLOYER, PARAMETERS)
    claimed = replace(deployment, parameters=replace(PARAMETERS, hold_bond_ueur=1))
    assert problems(web3, claimed) == {"Settlement": "it was created with other parameters or addresses"}


def test_another_operator_than_that_on_record_is_named(web3: Web3) -> None:
    deployment = deploy(web3, DEPLOYER, PARAMETERS)
    claimed = replace(deployment, parameters=replace(PARAMETERS, operator="0x" + "22" * 20))
    assert set(problems(web3, claimed)) == {"ParticipantRegistry"}


def test_a_contract_of_other_code_is_named(web3: Web3) -> None:
    """The last byte of the token's code is another one; what it does would be all the same."""
    deployer = web3.eth.accounts[0]
    creations = plan(deployer, web3.eth.get_transaction_count(deployer), PARAMETERS)
    for creation in creations:
        compiled = artifact(creation.name)
        code = bytearray.fromhex(compiled["bytecode"].removeprefix("0x"))
        if creation.name == "SettlementToken":
            code[-1] ^= 1
        created = web3.eth.contract(abi=compiled["abi"], bytecode=bytes(code)).constructor(*creation.arguments)
        digest = created.transact({"from": deployer, "gas": CREATION_GAS, "gasPrice": web3.eth.gas_price})
        assert web3.eth.wait_for_transaction_receipt(digest)["contractAddress"] == creation.address
    addresses = {creation.name: creation.address for creation in creations}
    forged = Deployment(web3.eth.chain_id, deployer, 0, addresses, PARAMETERS)
    assert problems(web3, forged) == {"SettlementToken": "it was created by other code"}


def test_addresses_of_somebody_else_are_refused(web3: Web3) -> None:
    deployment = deploy(web3, DEPLOYER, PARAMETERS)
    swapped = dict(zip(CONTRACT_NAMES, reversed(deployment.addresses.values()), strict=True))
    with pytest.raises(DeploymentError, match="has created in order"):
        verify(web3, replace(deployment, addresses=swapped))


def test_another_chain_is_refused(web3: Web3) -> None:
    deployment = deploy(web3, DEPLOYER, PARAMETERS)
    with pytest.raises(DeploymentError, match="of chain 1"):
        verify(web3, replace(deployment, chain_id=1))


def test_a_creation_that_the_first_block_hides_is_missing(web3: Web3) -> None:
    deployment = deploy(web3, DEPLOYER, PARAMETERS)
    late = replace(deployment, first_block=web3.eth.block_number)
    assert problems(web3, late)["ParticipantRegistry"] == "its creation is not on the chain"
    assert "SettlementToken" not in problems(web3, late)
