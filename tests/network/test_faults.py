"""Validators die: with one down the chain goes on, with two it stops and then goes on, and nothing is sent twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from market.chain.bindings import Contracts
from market.chain.indexer import Indexer
from market.chain.profiles import connect, rpc
from market.chain.receipts import Receipt
from market.chain.sender import TransactionSender
from market.store.database import read_scope
from market.store.models import Transaction, TransactionState
from tests.chain.world import KEYS
from tests.network.world import NETWORK, NetworkWorld
from tests.networks import Network

pytestmark = [pytest.mark.network, pytest.mark.slow]

STILL_S = 12.0
"""So long nothing may happen while two validators are down."""


@pytest.fixture(autouse=True)
def _all_up_again(network: Network) -> Iterator[None]:
    yield
    network.all_up()


def height(world: NetworkWorld) -> int:
    return int(rpc(world.contracts.web3, "eth_blockNumber"), 16)


def approve(world: NetworkWorld, amount: int, key: str) -> Receipt:
    function = world.contracts.token.functions.approve(world.address("oracle"), amount)
    return world.sender("dso").send(function, "approve", key)


def test_with_one_validator_down_the_chain_goes_on(network: Network, world: NetworkWorld) -> None:
    network.validators["dso-1"].kill()
    for number in range(4):
        started = time.monotonic()
        assert approve(world, number, f"one-down-{number}").event("Approval")["value"] == number
        assert time.monotonic() - started < 30


def test_a_validator_that_was_down_catches_up(network: Network, world: NetworkWorld) -> None:
    down = network.validators["auditor"]
    down.kill()
    block = approve(world, 11, "behind").block
    down.start()
    network.all_up()
    caught_up = world.contracts_at(down.member)
    deadline = time.monotonic() + 30
    while int(rpc(caught_up.web3, "eth_blockNumber"), 16) < block:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    ours, its = (
        rpc(web3, "eth_getBlockByNumber", hex(block), False)["hash"] for web3 in (world.contracts.web3, caught_up.web3)
    )
    assert ours == its


def test_with_two_validators_down_it_stops_and_goes_on_when_one_is_back(network: Network, world: NetworkWorld) -> None:
    """What is sent meanwhile waits, is replaced with a higher fee by then, and happens once."""
    network.validators["dso-1"].kill()
    network.validators["dso-2"].kill()
    time.sleep(1)
    before = height(world)
    receipts: list[Receipt] = []
    waiting = threading.Thread(target=lambda: receipts.append(approve(world, 22, "two-down")))
    waiting.start()
    try:
        time.sleep(STILL_S)
        assert height(world) == before
        assert not receipts
        network.validators["dso-1"].start()
    finally:
        waiting.join(timeout=120)
    assert receipts[0].event("Approval")["value"] == 22
    assert [entry.event("Approval")["value"] for entry in world.sender("dso").recover()] == []
    with read_scope(world.engine) as session:
        (row,) = session.query(Transaction).filter_by(purpose_key="two-down").all()
        assert row.state == TransactionState.MINED
    mined = int(rpc(world.contracts.web3, "eth_getTransactionCount", world.address("dso"), "latest"), 16)
    assert mined == row.nonce + 1


def test_where_the_markets_own_node_dies_another_is_asked(network: Network, world: NetworkWorld) -> None:
    """Sender and indexer go on by themselves, and go on with the first again or not: each node has the whole chain."""
    both = f"{network.member('operator').rpc_url},{network.member('auditor').rpc_url}"
    contracts = Contracts(connect(both, NETWORK), world.contracts.deployment, NETWORK)
    sender, indexer = TransactionSender(contracts, world.engine, KEYS["dso"]), Indexer(contracts, world.engine)
    approve_ = contracts.token.functions.approve
    sender.send(approve_(world.address("oracle"), 44), "approve", "own-node")
    network.validators["operator"].kill()
    receipt = sender.send(approve_(world.address("oracle"), 45), "approve", "another-node")
    assert receipt.event("Approval")["value"] == 45
    assert indexer.index_now() >= receipt.block
