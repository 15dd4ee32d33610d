"""What is taken back, and a base fee set by hand: on the embedded node only.

The permissioned network never takes a block back: what it shows is final (`Profile.is_final`). Its base fee moves with
its settings and its load: tests/network/test_fees.py.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from market.chain.embedded import EmbeddedChain
from market.chain.profiles import rpc
from market.chain.sender import TransactionSender
from market.domain.errors import ContractRefused
from market.store.models import TransactionState
from tests.chain.rows import projections, transactions
from tests.chain.world import NODE, World


@pytest.fixture
def world(anvil: EmbeddedChain, database_url: str) -> Iterator[World]:
    world = World.build(anvil, database_url)
    yield world
    world.engine.dispose()


@pytest.fixture
def registered(world: World) -> World:
    """With participants, of which the indexer knows."""
    world.register()
    world.indexer.index_now()
    return world


def mint(world: World, amount_ueur: int = 5):  # type: ignore[no-untyped-def]
    return world.contracts.token.functions.mint(world.nobody, amount_ueur, bytes(32))


def minted(world: World) -> int:
    supply: int = world.contracts.call(world.contracts.token.functions.totalSupply())
    return supply


def test_a_failure_whose_block_is_lost_and_that_then_succeeds_is_not_done_again(world: World) -> None:
    token, web3 = world.contracts.token.functions, world.contracts.web3
    world.send("operator", token.mint(world.address("relayer"), 10, bytes(32)))
    before_both = rpc(web3, "evm_snapshot")
    rpc(web3, "evm_setAutomine", False)
    calls = [(token.transfer(world.nobody, 7), "pay", f"pay-{place}") for place in range(2)]
    miner = threading.Timer(0.5, rpc, (web3, "evm_mine"))
    miner.start()
    with pytest.raises(ContractRefused):
        world.sender("relayer").send_all(calls)
    miner.join()
    rpc(web3, "evm_revert", before_both)
    rpc(web3, "evm_setAutomine", True)
    world.send("operator", token.mint(world.address("relayer"), 11, bytes(32)))  # now there is enough for both
    world.sender("relayer").recover()
    assert world.contracts.call(token.balanceOf(world.nobody)) == 14
    world.sender("relayer").send(*calls[1])
    assert world.contracts.call(token.balanceOf(world.nobody)) == 14


def test_what_the_chain_has_lost_is_sent_again(world: World) -> None:
    """A node that was killed may come back without its last blocks."""
    world.contracts.profile = replace(world.contracts.profile, resend_after_s=0.1)
    sender = TransactionSender(world.contracts, world.engine, world.keys["operator"], now=world.now)
    kept = rpc(world.contracts.web3, "evm_snapshot")
    sender.send(mint(world), "mint", "bank transfer 1")
    rpc(world.contracts.web3, "evm_revert", kept)
    assert minted(world) == 0
    sender.send(mint(world), "mint", "bank transfer 1")
    assert minted(world) == 5


def test_a_transaction_that_is_stuck_is_replaced_with_a_higher_fee(world: World) -> None:
    """Its fee is below what the next block asks for."""
    impatient = replace(world.contracts.profile, resend_after_s=0.1, replace_after_s=0.3)
    world.contracts.profile = impatient
    web3 = world.contracts.web3
    sender = TransactionSender(world.contracts, world.engine, world.keys["operator"], now=world.now)
    rpc(web3, "evm_setAutomine", False)
    rpc(web3, "anvil_setNextBlockBaseFeePerGas", hex(10))
    rpc(web3, "evm_mine")
    stop = threading.Event()

    def mine() -> None:
        while not stop.wait(0.2):
            rpc(web3, "anvil_setNextBlockBaseFeePerGas", hex(26))
            rpc(web3, "evm_mine")

    miner = threading.Thread(target=mine)
    miner.start()
    try:
        sender.send(mint(world), "mint", "stuck")
    finally:
        stop.set()
        miner.join()
    (row,) = transactions(world)
    assert row.state == TransactionState.MINED
    assert row.replaced_hashes
    assert minted(world) == 5


def test_a_chain_that_changed_behind_the_cursor_is_followed(registered: World) -> None:
    world = registered
    web3, registry = world.contracts.web3, world.contracts.registry.functions
    before = projections(world.engine)
    forked = rpc(web3, "evm_snapshot")
    head = world.indexer.index_now()
    world.send("operator", registry.setPaused(NODE, 1, True))
    world.send("operator", registry.setPaused(NODE, 1, False))
    assert world.indexer.index_now() == head + 2
    rpc(web3, "evm_revert", forked)
    forked = rpc(web3, "evm_snapshot")
    for count in range(3):  # other blocks at the same heights, mined by somebody else
        sender = web3.eth.accounts[5]
        web3.eth.send_transaction({"from": sender, "to": sender, "gas": 21_000 + count, "gasPrice": 1000})
    assert world.indexer.index_now() == head + 3
    assert projections(world.engine) == before
    rpc(web3, "evm_revert", forked)


def test_blocks_that_the_only_node_has_lost_are_forgotten(registered: World) -> None:
    world = registered
    kept, forked = projections(world.engine), rpc(world.contracts.web3, "evm_snapshot")
    head = world.indexer.index_now()
    world.send("operator", world.contracts.registry.functions.setPaused(NODE, 1, True))
    assert world.indexer.index_now() > head
    rpc(world.contracts.web3, "evm_revert", forked)
    assert world.indexer.index_now() == head
    assert projections(world.engine) == kept
