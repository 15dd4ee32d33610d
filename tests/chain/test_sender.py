"""The sender: each purpose happens once on the chain, whatever is killed, repeated or refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account
from sqlalchemy import select
from web3 import Web3

from market.chain.embedded import EmbeddedChain
from market.chain.profiles import rpc
from market.chain.receipts import carry
from market.chain.refusals import NotMinedYet, RefusedByNode
from market.chain.sender import TransactionSender
from market.domain.errors import ContractRefused, ValidationFailed
from market.store.database import read_scope, session_scope
from market.store.models import Transaction, TransactionState
from tests.chain.world import KEYS, World

STRANGER = "0x" + 40 * "9"


@pytest.fixture
def world(anvil: EmbeddedChain, database_url: str) -> Iterator[World]:
    world = World.build(anvil, database_url)
    yield world
    world.engine.dispose()


def mint(world: World, amount_ueur: int = 5):  # type: ignore[no-untyped-def]
    return world.contracts.token.functions.mint(STRANGER, amount_ueur, bytes(32))


def minted(world: World) -> int:
    supply: int = world.contracts.call(world.contracts.token.functions.totalSupply())
    return supply


def rows(world: World) -> list[Transaction]:
    with read_scope(world.engine) as session:
        return list(session.scalars(select(Transaction).order_by(Transaction.id)))


def test_a_purpose_happens_once(world: World) -> None:
    first = world.sender("operator").send(mint(world), "mint", "bank transfer 1")
    again = world.sender("operator").send(mint(world), "mint", "bank transfer 1")
    assert first == again
    assert minted(world) == 5
    assert first.event("Minted")["amountUeur"] == 5
    assert first.event("Minted").block_time == world.now_s
    (row,) = rows(world)
    assert (row.state, row.hash, row.receipt_block) == (TransactionState.MINED, first.transaction_hash, first.block)


def test_a_refused_call_costs_no_nonce_and_names_the_error(world: World) -> None:
    with pytest.raises(ContractRefused) as refusal:
        world.sender("stranger").send(mint(world), "mint", "theft")
    assert refusal.value.name == "NotOperator"
    assert refusal.value.fields == {"caller": world.address("stranger")}
    assert rows(world) == []
    world.send("operator", world.contracts.token.functions.mint(world.address("stranger"), 1, bytes(32)))
    sent = world.send("stranger", world.contracts.token.functions.transfer(STRANGER, 1))
    assert sent.event("Transfer")["value"] == 1


def test_waiting_for_a_receipt_ends_and_asking_again_gives_the_same_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("market.chain.sender.RECEIPT_WITHIN_S", 0.3)
    rpc(world.contracts.web3, "evm_setAutomine", False)
    with pytest.raises(NotMinedYet, match="ask again"):
        world.sender("operator").send(mint(world), "mint", "one")
    rpc(world.contracts.web3, "evm_setAutomine", True)
    rpc(world.contracts.web3, "evm_mine")
    world.sender("operator").send(mint(world), "mint", "one")
    assert minted(world) == 5
    (row,) = rows(world)
    assert row.state == TransactionState.MINED


def test_a_transaction_that_the_node_never_takes_stops_none_of_the_others(world: World) -> None:
    operator = world.sender("operator")
    beyond_any_block = 10**9
    with pytest.raises(RefusedByNode, match="mint"):
        operator.send(mint(world), "mint", "one", gas_limit=beyond_any_block)
    assert minted(world) == 0
    operator.send(mint(world, 7), "mint", "two")
    assert minted(world) == 7
    operator.send(mint(world), "mint", "one")  # its purpose was free again
    assert minted(world) == 12
    given_up, *others = rows(world)
    assert (given_up.state, given_up.error["code"]) == (TransactionState.FAILED, "refused-by-node")
    assert {row.state for row in others} == {TransactionState.MINED}
    assert [row.nonce for row in (given_up, *others)] == list(range(given_up.nonce, given_up.nonce + 3))


def test_a_call_that_fails_when_mined_is_surfaced_and_may_be_tried_again(world: World) -> None:
    """Two transfers pass their trial, and only one can be paid."""
    token = world.contracts.token.functions
    world.send("operator", token.mint(world.address("relayer"), 10, bytes(32)))
    rpc(world.contracts.web3, "evm_setAutomine", False)
    calls = [(token.transfer(STRANGER, 7), "pay", f"pay-{place}") for place in range(2)]
    miner = threading.Timer(0.5, rpc, (world.contracts.web3, "evm_setAutomine", True))
    later = threading.Timer(0.7, rpc, (world.contracts.web3, "evm_mine"))
    miner.start()
    later.start()
    with pytest.raises(ContractRefused) as refusal:
        world.sender("relayer").send_all(calls)
    miner.join()
    later.join()
    assert refusal.value.name == "ERC20InsufficientBalance"
    failed = rows(world)[-1]
    assert failed.state == TransactionState.FAILED
    assert failed.error["name"] == "ERC20InsufficientBalance"
    assert failed.error["arguments"]["needed"] == 7
    world.send("operator", token.mint(world.address("relayer"), 10, bytes(32)))
    again = world.sender("relayer").send(*calls[1])
    assert again.event("Transfer")["value"] == 7
    assert rows(world)[-1].purpose_key == "pay-1"


def test_a_failure_whose_block_is_lost_and_that_then_succeeds_is_not_done_again(world: World) -> None:
    token, web3 = world.contracts.token.functions, world.contracts.web3
    world.send("operator", token.mint(world.address("relayer"), 10, bytes(32)))
    before_both = rpc(web3, "evm_snapshot")
    rpc(web3, "evm_setAutomine", False)
    calls = [(token.transfer(STRANGER, 7), "pay", f"pay-{place}") for place in range(2)]
    miner = threading.Timer(0.5, rpc, (web3, "evm_mine"))
    miner.start()
    with pytest.raises(ContractRefused):
        world.sender("relayer").send_all(calls)
    miner.join()
    rpc(web3, "evm_revert", before_both)
    rpc(web3, "evm_setAutomine", True)
    world.send("operator", token.mint(world.address("relayer"), 11, bytes(32)))  # now there is enough for both
    world.sender("relayer").recover()
    assert world.contracts.call(token.balanceOf(STRANGER)) == 14
    world.sender("relayer").send(*calls[1])
    assert world.contracts.call(token.balanceOf(STRANGER)) == 14


def test_calls_that_do_not_need_each_other_share_one_wait(world: World) -> None:
    calls = [(mint(world, 1), "mint", f"mint-{place}") for place in range(20)]
    receipts = world.sender("operator").send_all(calls)
    assert len({receipt.transaction_hash for receipt in receipts}) == 20
    assert minted(world) == 20


def test_threads_and_senders_of_one_key_give_each_nonce_once(world: World) -> None:
    senders = [
        TransactionSender(world.contracts, world.engine, KEYS["operator"], now=lambda: world.now_s) for _ in range(3)
    ]

    def send(place: int) -> None:
        for number in range(5):  # each purpose is asked for by all senders
            senders[place].send(mint(world, 1), "mint", f"mint-{number}")
            senders[place].send(mint(world, 100), "mint", f"mint-{place}-{number}")

    threads = [threading.Thread(target=send, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert minted(world) == 5 + 15 * 100
    nonces = sorted(row.nonce for row in rows(world))
    assert nonces == list(range(nonces[0], nonces[0] + 20))


def test_what_somebody_still_waits_for_is_not_taken_from_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("market.chain.sender.RECEIPT_WITHIN_S", 0.3)
    rpc(world.contracts.web3, "evm_setAutomine", False)
    with pytest.raises(NotMinedYet):
        world.sender("operator").send(mint(world), "mint", "one")
    attempts = rows(world)[0].attempts
    monkeypatch.setattr("market.chain.sender.RECEIPT_WITHIN_S", 45.0)
    world.sender("operator").finish_abandoned()
    assert rows(world)[0].attempts == attempts


def test_a_key_that_was_used_elsewhere_takes_a_new_nonce(world: World) -> None:
    world.send("operator", mint(world, 1))
    foreign = {
        "to": STRANGER,
        "value": 0,
        "gas": 21_000,
        "maxFeePerGas": 10,
        "maxPriorityFeePerGas": 0,
        "type": 2,
        "chainId": 31337,
        "nonce": rows(world)[-1].nonce + 1,
    }
    signed = Account.sign_transaction(foreign, KEYS["operator"])
    rpc(world.contracts.web3, "eth_sendRawTransaction", "0x" + signed.raw_transaction.hex())
    world.send("operator", mint(world, 2))
    world.send("operator", mint(world, 4))
    assert minted(world) == 7


def test_many_sent_together_are_given_to_the_node_once_each(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each used to take all earlier ones with it again: four hundred were eighty thousand calls."""
    given: list[str] = []

    def counting(web3: Web3, method: str, *parameters: Any) -> Any:
        if method == "eth_sendRawTransaction":
            given.append(parameters[0])
        return rpc(web3, method, *parameters)

    monkeypatch.setattr("market.chain.sender.rpc", counting)
    calls = [(mint(world), "mint", f"together-{number}") for number in range(30)]
    world.sender("operator").send_all(calls)
    assert len(given) == len(set(given)) == 30


def test_a_transaction_that_is_stuck_is_replaced_with_a_higher_fee(world: World) -> None:
    """Its fee is below what the next block asks for."""
    impatient = replace(world.contracts.profile, resend_after_s=0.1, replace_after_s=0.3)
    world.contracts.profile = impatient
    web3 = world.contracts.web3
    sender = TransactionSender(world.contracts, world.engine, KEYS["operator"], now=lambda: world.now_s)
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
    (row,) = rows(world)
    assert row.state == TransactionState.MINED
    assert row.replaced_hashes
    assert minted(world) == 5


def test_a_replacement_offers_a_higher_tip_too(world: World) -> None:
    """Nodes refuse one whose cap alone has grown as underpriced: it was never taken."""
    world.contracts.profile = replace(world.contracts.profile, priority_fee_wei=4, replace_after_s=0.2)
    web3 = world.contracts.web3
    sender = TransactionSender(world.contracts, world.engine, KEYS["operator"], now=lambda: world.now_s)
    rpc(web3, "evm_setAutomine", False)
    miner = threading.Timer(1.0, rpc, (web3, "evm_mine"))
    miner.start()
    sender.send(mint(world), "mint", "stuck")
    miner.join()
    (row,) = rows(world)
    assert row.state == TransactionState.MINED
    assert row.replaced_hashes
    mined = rpc(web3, "eth_getTransactionByHash", row.hash)
    assert int(mined["maxPriorityFeePerGas"], 16) > 4


@pytest.mark.parametrize("fee", [{"gasPrice": 10}, {"maxFeePerGas": 10, "maxPriorityFeePerGas": 0}])
def test_what_the_operator_signed_itself_is_carried_once(world: World, fee: dict[str, int]) -> None:
    operator, token = world.address("operator"), world.contracts.token
    transaction = mint(world).build_transaction(
        {"from": operator, "nonce": world.contracts.web3.eth.get_transaction_count(operator), "gas": 300_000, **fee}
    )
    raw = bytes(Account.sign_transaction(dict(transaction), KEYS["operator"]).raw_transaction)
    first = carry(world.contracts, raw, world.now_s)
    assert first.event("Minted")["to"] == STRANGER
    assert carry(world.contracts, raw, world.now_s) == first
    assert minted(world) == 5
    foreign = dict(transaction, to=STRANGER, nonce=99)
    with pytest.raises(ValidationFailed, match="one of the market's contracts"):
        carry(world.contracts, bytes(Account.sign_transaction(foreign, KEYS["operator"]).raw_transaction), world.now_s)
    with pytest.raises(ValidationFailed, match="must be a signed transaction"):
        carry(world.contracts, b"nonsense", world.now_s)
    assert world.contracts.call(token.functions.balanceOf(STRANGER)) == 5


def test_bytes_that_a_node_lost_are_sent_again(world: World) -> None:
    """The row says SENT, and the node knows nothing of it."""
    sender = world.sender("operator")
    id_ = sender._prepared(mint(world), "mint", "lost", None)
    with session_scope(world.engine) as session:
        session.get_one(Transaction, id_).state = TransactionState.SENT
    assert minted(world) == 0
    assert [receipt.event("Minted")["amountUeur"] for receipt in sender.recover()] == [5]


def test_what_the_chain_has_lost_is_sent_again(world: World) -> None:
    """A node that was killed may come back without its last blocks."""
    world.contracts.profile = replace(world.contracts.profile, resend_after_s=0.1)
    sender = TransactionSender(world.contracts, world.engine, KEYS["operator"], now=lambda: world.now_s)
    kept = rpc(world.contracts.web3, "evm_snapshot")
    sender.send(mint(world), "mint", "bank transfer 1")
    rpc(world.contracts.web3, "evm_revert", kept)
    assert minted(world) == 0
    sender.send(mint(world), "mint", "bank transfer 1")
    assert minted(world) == 5
