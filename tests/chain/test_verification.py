"""Verification of a deployment: the same code and parameters pass, anything else is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from web3 import Web3

from market.chain.bindings import artifact
from market.chain.deployment import (
    CONTRACT_NAMES,
    CREATION_GAS,
    Deployment,
    DeploymentError,
    DeploymentParameters,
    plan,
)
from market.chain.verification import verify
from tests.chain.grounds import Ground

PARAMETERS = DeploymentParameters()


@pytest.fixture(scope="module")
def web3(ground: Ground) -> Web3:
    return ground.web3()


@pytest.fixture(scope="module")
def deployment(ground: Ground) -> Deployment:
    return ground.deploy(PARAMETERS)


def problems(web3: Web3, deployment: Deployment) -> dict[str, str]:
    return {finding.name: finding.problem for finding in verify(web3, deployment) if finding.problem is not None}


def test_a_deployment_of_this_repository_is_verified(web3: Web3, deployment: Deployment) -> None:
    findings = verify(web3, deployment)
    assert [finding.name for finding in findings] == list(CONTRACT_NAMES)
    assert {finding.name: finding.address for finding in findings} == deployment.addresses
    assert problems(web3, deployment) == {}


def test_it_is_found_behind_other_transactions_of_the_deployer(
    web3: Web3, ground: Ground, deployment: Deployment
) -> None:
    second = ground.deploy(replace(PARAMETERS, hold_bond_ueur=1))
    assert second.deployer == deployment.deployer
    assert problems(web3, second) == {}


def test_other_parameters_than_those_on_record_are_named(web3: Web3, deployment: Deployment) -> None:
    claimed = replace(deployment, parameters=replace(PARAMETERS, hold_bond_ueur=1))
    assert problems(web3, claimed) == {"Settlement": "it was created with other parameters or addresses"}


def test_another_operator_than_that_on_record_is_named(web3: Web3, deployment: Deployment) -> None:
    claimed = replace(deployment, parameters=replace(PARAMETERS, operator="0x" + "22" * 20))
    assert set(problems(web3, claimed)) == {"ParticipantRegistry"}


def test_a_contract_of_other_code_is_named(web3: Web3, ground: Ground) -> None:
    """The last byte of the token's code is another one; what it does would be all the same."""
    deployer = ground.deployer
    nonce, first_block = web3.eth.get_transaction_count(deployer.address), web3.eth.block_number
    creations, sent = plan(deployer.address, nonce, PARAMETERS), []
    for place, creation in enumerate(creations):
        compiled = artifact(creation.name)
        code = bytearray.fromhex(compiled["bytecode"].removeprefix("0x"))
        if creation.name == "SettlementToken":
            code[-1] ^= 1
        constructor = web3.eth.contract(abi=compiled["abi"], bytecode=bytes(code)).constructor(*creation.arguments)
        terms = {"from": deployer.address, "nonce": nonce + place, "gas": CREATION_GAS}
        price = {"gasPrice": web3.eth.gas_price, "chainId": ground.chain_id}
        signed = deployer.sign_transaction(dict(constructor.build_transaction(terms | price)))
        sent.append(web3.eth.send_raw_transaction(signed.raw_transaction))
    for creation, digest in zip(creations, sent, strict=True):
        assert web3.eth.wait_for_transaction_receipt(digest)["contractAddress"] == creation.address
    addresses = {creation.name: creation.address for creation in creations}
    forged = Deployment(ground.chain_id, deployer.address, first_block, addresses, PARAMETERS)
    assert problems(web3, forged) == {"SettlementToken": "it was created by other code"}


def test_addresses_of_somebody_else_are_refused(web3: Web3, deployment: Deployment) -> None:
    swapped = dict(zip(CONTRACT_NAMES, reversed(deployment.addresses.values()), strict=True))
    with pytest.raises(DeploymentError, match="has created in order"):
        verify(web3, replace(deployment, addresses=swapped))


def test_another_chain_is_refused(web3: Web3, deployment: Deployment) -> None:
    with pytest.raises(DeploymentError, match="of chain 1"):
        verify(web3, replace(deployment, chain_id=1))


def test_creations_that_the_first_block_hides_are_missing(web3: Web3, deployment: Deployment) -> None:
    """The first alone where each has a block; where blocks take time, several share one."""
    blocks = {
        finding.name: web3.eth.get_transaction_receipt(finding.transaction)["blockNumber"]
        for finding in verify(web3, deployment)
    }
    first = min(blocks.values())
    hidden = {name for name, block in blocks.items() if block == first}
    assert "ParticipantRegistry" in hidden
    late = replace(deployment, first_block=first + 1)
    assert problems(web3, late) == dict.fromkeys(hidden, "its creation is not on the chain")
