"""Whether the contracts of a deployment were created by the code of this repository, with the parameters on record.

A contract's code holds addresses and parameters that its constructor wrote into it, so it cannot be compared with an
artifact as it stands. What can be is the transaction that created it: creation code and constructor's arguments. The
code that it left behind follows from them, and no contract of ours can change its own (no proxy, no self-destruction).
SettlementJudge and ClaimChecker need no line of their own: Settlement's and MeritOrderAuction's constructors create
them, out of their own creation code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from web3 import Web3
from web3.types import TxData

from market.chain.bindings import artifact
from market.chain.deployment import CONTRACT_NAMES, Creation, Deployment, DeploymentError, plan, predicted_addresses


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one contract. transaction: 0x hash of its creation; problem: None where there is none."""

    name: str
    address: str
    transaction: str | None
    problem: str | None


def verify(web3: Web3, deployment: Deployment) -> list[Finding]:
    """Holds each contract of a deployment to this repository's artifacts and to the deployment's parameters.

    Asks the node for the blocks from the deployment's first one on until all creations are found.

    Raises:
        DeploymentError: the chain is another one, or the addresses are not those of the deployer's creations.
    """
    if web3.eth.chain_id != deployment.chain_id:
        raise DeploymentError(f"the deployment is of chain {deployment.chain_id}, the node of {web3.eth.chain_id}")
    first_nonce = _first_nonce(web3, deployment)
    creations = plan(deployment.deployer, first_nonce, deployment.parameters)
    sent = _creations_sent(web3, deployment, first_nonce)
    return [_judge(web3, creation, sent.get(first_nonce + place)) for place, creation in enumerate(creations)]


def _first_nonce(web3: Web3, deployment: Deployment) -> int:
    """The deployer's nonce at which the addresses on record are created one after the other."""
    for nonce in range(web3.eth.get_transaction_count(Web3.to_checksum_address(deployment.deployer))):
        if predicted_addresses(deployment.deployer, nonce) == deployment.addresses:
            return nonce
    raise DeploymentError(f"the addresses are not those of contracts that {deployment.deployer} has created in order")


def _creations_sent(web3: Web3, deployment: Deployment, first_nonce: int) -> dict[int, TxData]:
    """Nonce -> the deployer's transaction of that nonce, of those that the plan needs."""
    wanted = range(first_nonce, first_nonce + len(CONTRACT_NAMES))
    sent: dict[int, TxData] = {}
    for transaction in _transactions_from(web3, deployment.first_block):
        if transaction["from"] == deployment.deployer and transaction["nonce"] in wanted:
            sent[transaction["nonce"]] = transaction
            if len(sent) == len(wanted):
                break
    return sent


def _transactions_from(web3: Web3, first_block: int) -> Iterator[TxData]:
    for number in range(first_block, web3.eth.block_number + 1):
        transactions = web3.eth.get_block(number, full_transactions=True)["transactions"]
        yield from cast(Sequence[TxData], transactions)


def _judge(web3: Web3, creation: Creation, transaction: TxData | None) -> Finding:
    if transaction is None:
        return Finding(creation.name, creation.address, None, "its creation is not on the chain")
    return Finding(
        creation.name, creation.address, transaction["hash"].to_0x_hex(), _problem(web3, creation, transaction)
    )


def _problem(web3: Web3, creation: Creation, transaction: TxData) -> str | None:
    compiled = artifact(creation.name)
    contract = web3.eth.contract(abi=compiled["abi"], bytecode=compiled["bytecode"])
    expected = bytes.fromhex(contract.constructor(*creation.arguments).data_in_transaction.removeprefix("0x"))
    given, code_size = bytes(transaction["input"]), len(bytes.fromhex(compiled["bytecode"].removeprefix("0x")))
    if given[:code_size] != expected[:code_size]:
        return "it was created by other code"
    if given != expected:
        return "it was created with other parameters or addresses"
    receipt = web3.eth.get_transaction_receipt(transaction["hash"])
    if receipt["status"] != 1 or receipt["contractAddress"] != creation.address:
        return "its creation failed"
    if not web3.eth.get_code(Web3.to_checksum_address(creation.address)):
        return "there is no code at its address"
    return None
