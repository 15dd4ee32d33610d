"""The sender: each purpose happens once on the chain, whatever is killed, repeated or refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes
from web3 import Web3

from market.chain.deployment import Deployment, write_deployment
from market.chain.profiles import rpc
from market.chain.receipts import carry
from market.chain.refusals import NotMinedYet, RefusedByNode
from market.chain.sender import TransactionSender
from market.checkpoints import SenderPoint
from market.domain.errors import ContractRefused, ValidationFailed
from market.store.database import read_scope, session_scope
from market.store.models import Transaction, TransactionState
from tests.chain.conftest import CHAINS_AND_DATABASES, ONLY_NETWORK
from tests.chain.grounds import Ground
from tests.chain.rows import transactions
from tests.chain.world import World
from tests.databases import database_of

Shared = tuple[Ground, Deployment]


@pytest.fixture(scope="module")
def embedded_market(embedded_ground: Ground) -> Shared:
    return embedded_ground, embedded_ground.deploy(embedded_ground.parameters)


@pytest.fixture(scope="module")
def network_market(network_ground: Ground) -> Shared:
    return network_ground, network_ground.deploy(network_ground.parameters)


@pytest.fixture(params=CHAINS_AND_DATABASES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """An empty database, and contracts that the tests of a file share."""
    chain, kind = request.param
    ground, deployment = request.getfixturevalue(f"{chain}_market")
    with database_of(kind, request, tmp_path) as url:
        world = ground.world(url, deployment)
        yield world
        world.engine.dispose()


def mint(world: World, amount_ueur: int = 5):  # type: ignore[no-untyped-def]
    return world.contracts.token.functions.mint(world.nobody, amount_ueur, bytes(32))


def minted(world: World) -> int:
    balance: int = world.contracts.call(world.contracts.token.functions.balanceOf(world.nobody))
    return balance


def test_a_purpose_happens_once(world: World) -> None:
    first = world.sender("operator").send(mint(world), "mint", "bank transfer 1")
    again = world.sender("operator").send(mint(world), "mint", "bank transfer 1")
    assert first == again
    assert minted(world) == 5
    assert first.event("Minted")["amountUeur"] == 5
    assert first.event("Minted").block_time == world.block_time(first.block)
    (row,) = transactions(world)
    assert (row.state, row.hash, row.receipt_block) == (TransactionState.MINED, first.transaction_hash, first.block)


def test_a_refused_call_costs_no_nonce_and_names_the_error(world: World) -> None:
    with pytest.raises(ContractRefused) as refusal:
        world.sender("stranger").send(mint(world), "mint", "theft")
    assert refusal.value.name == "NotOperator"
    assert refusal.value.fields == {"caller": world.address("stranger")}
    assert transactions(world) == []
    world.send("operator", world.contracts.token.functions.mint(world.address("stranger"), 1, bytes(32)))
    sent = world.send("stranger", world.contracts.token.functions.transfer(world.nobody, 1))
    assert sent.event("Transfer")["value"] == 1


def test_waiting_for_a_receipt_ends_and_asking_again_gives_the_same_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.standing_still(2), monkeypatch.context() as hurried:
        hurried.setattr("market.chain.sender.RECEIPT_WITHIN_S", 0.3)
        with pytest.raises(NotMinedYet, match="ask again"):
            world.sender("operator").send(mint(world), "mint", "one")
    world.sender("operator").send(mint(world), "mint", "one")
    assert minted(world) == 5
    (row,) = transactions(world)
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
    given_up, *others = transactions(world)
    assert (given_up.state, given_up.error["code"]) == (TransactionState.FAILED, "refused-by-node")
    assert {row.state for row in others} == {TransactionState.MINED}
    assert [row.nonce for row in (given_up, *others)] == list(range(given_up.nonce, given_up.nonce + 3))


def test_a_call_that_fails_when_mined_is_surfaced_and_may_be_tried_again(world: World) -> None:
    """Two transfers pass their trial, and only one can be paid."""
    token = world.contracts.token.functions
    world.send("operator", token.mint(world.address("relayer"), 10, bytes(32)))
    calls = [(token.transfer(world.nobody, 7), "pay", f"pay-{place}") for place in range(2)]
    with world.standing_still(0.7), pytest.raises(ContractRefused) as refusal:
        world.sender("relayer").send_all(calls)
    assert refusal.value.name == "ERC20InsufficientBalance"
    failed = transactions(world)[-1]
    assert failed.state == TransactionState.FAILED
    assert failed.error["name"] == "ERC20InsufficientBalance"
    assert failed.error["arguments"]["needed"] == 7
    world.send("operator", token.mint(world.address("relayer"), 4, bytes(32)))
    again = world.sender("relayer").send(*calls[1])
    assert again.event("Transfer")["value"] == 7
    assert transactions(world)[-1].purpose_key == "pay-1"
    assert world.contracts.call(token.balanceOf(world.address("relayer"))) == 0


def test_calls_that_do_not_need_each_other_share_one_wait(world: World) -> None:
    calls = [(mint(world, 1), "mint", f"mint-{place}") for place in range(20)]
    receipts = world.sender("operator").send_all(calls)
    assert len({receipt.transaction_hash for receipt in receipts}) == 20
    assert minted(world) == 20


def test_gas_is_enough_though_another_transaction_makes_the_call_dearer(world: World) -> None:
    """Both are estimated while the allowance is set; the first empties it; to set it anew costs more."""
    approve = world.contracts.token.functions.approve
    world.send("dso", approve(world.nobody, 7))
    receipts = world.send_all("dso", [approve(world.nobody, 0), approve(world.nobody, 5)])
    assert [receipt.event("Approval")["value"] for receipt in receipts] == [0, 5]


def test_gas_is_enough_though_the_call_does_more_than_at_the_last_block(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node estimates at its last block's time, when a deadline may not have been over."""

    def estimating_little(web3: Web3, method: str, *parameters: Any) -> Any:
        return hex(24_000) if method == "eth_estimateGas" else rpc(web3, method, *parameters)

    monkeypatch.setattr("market.chain.fees.rpc", estimating_little)
    monkeypatch.setattr("market.chain.fees._EMPTIED_SLOTS_GAS", 0)
    world.contracts.profile = replace(world.contracts.profile, estimates_gas=True)
    world.send("operator", mint(world))
    assert minted(world) == 5
    assert transactions(world)[-1].gas_limit == world.contracts.profile.gas_limit


def test_threads_and_senders_of_one_key_give_each_nonce_once(world: World) -> None:
    senders = [
        TransactionSender(world.contracts, world.engine, world.keys["operator"], now=world.now) for _ in range(3)
    ]

    def send(place: int) -> None:
        for number in range(3):  # each purpose is asked for by all senders
            senders[place].send(mint(world, 1), "mint", f"mint-{number}")
            senders[place].send(mint(world, 100), "mint", f"mint-{place}-{number}")

    threads = [threading.Thread(target=send, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert minted(world) == 3 + 9 * 100
    nonces = sorted(row.nonce for row in transactions(world))
    assert nonces == list(range(nonces[0], nonces[0] + 12))


CHILD = """
import os, signal, sys
from pathlib import Path
from market import checkpoints
from market.chain.bindings import Contracts
from market.chain.deployment import read_deployment
from market.chain.profiles import PROFILES, connect
from market.chain.sender import TransactionSender
from market.settings import ChainProfile
from market.store.database import open_engine

rpc_url, deployment, database, key, receiver, killed_at = sys.argv[1:]
profile = PROFILES[ChainProfile.NETWORK]
contracts = Contracts(connect(rpc_url, profile), read_deployment(Path(deployment)), profile)

def die(point, what):
    if point == killed_at:
        os.kill(os.getpid(), signal.SIGKILL)

checkpoints.follow(die)
sender = TransactionSender(contracts, open_engine(database), bytes.fromhex(key))
sender.send(contracts.token.functions.mint(receiver, 5, bytes(32)), "mint", "bank transfer 1")
"""


@pytest.mark.parametrize("world", ONLY_NETWORK, indirect=True)
@pytest.mark.parametrize(
    ("killed_at", "finish"),
    [
        (SenderPoint.STORED, "next transaction"),
        (SenderPoint.SENT, "recover"),
        (SenderPoint.MINED, "ask again"),
    ],
)
def test_a_kill_between_two_steps_neither_loses_nor_doubles(
    world: World, tmp_path: Path, killed_at: SenderPoint, finish: str
) -> None:
    """On the network; at every point, and finished in every way, on the embedded node: tests/kill_points."""
    deployment = tmp_path / "deployment.json"
    write_deployment(deployment, world.contracts.deployment)
    database = world.engine.url.render_as_string(hide_password=False)
    arguments = [str(deployment), database, world.keys["operator"].hex(), world.nobody, killed_at]
    command = [sys.executable, "-c", CHILD, world.chain.rpc_url, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    assert subprocess.run(command, env=environment, timeout=60, check=False).returncode == -signal.SIGKILL
    sender = world.sender("operator")
    finishing: dict[str, Callable[[], object]] = {
        "recover": sender.recover,
        "ask again": lambda: sender.send(mint(world), "mint", "bank transfer 1"),
        "next transaction": lambda: sender.send(mint(world, 0), "mint", "another"),
    }
    finishing[finish]()
    assert minted(world) == 5
    sender.recover()
    assert minted(world) == 5
    assert {row.state for row in transactions(world)} == {TransactionState.MINED}


def test_what_somebody_still_waits_for_is_not_taken_from_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with world.standing_still(3):
        with monkeypatch.context() as hurried:
            hurried.setattr("market.chain.sender.RECEIPT_WITHIN_S", 0.3)
            with pytest.raises(NotMinedYet):
                world.sender("operator").send(mint(world), "mint", "one")
        attempts = transactions(world)[0].attempts
        world.sender("operator").finish_abandoned()
        assert transactions(world)[0].attempts == attempts
    world.sender("operator").recover()


def test_a_nonce_that_the_node_never_got_holds_up_nothing_for_good(world: World) -> None:
    """The second transaction is with the node and waits; the first was stored when the process died."""
    sender = world.sender("operator")
    first, second = (sender._prepared(mint(world, amount), "mint", f"gap {amount}", None) for amount in (1, 2))
    with read_scope(world.engine) as session:
        rpc(world.contracts.web3, "eth_sendRawTransaction", "0x" + session.get_one(Transaction, second).raw.hex())
    assert minted(world) == 0
    assert len(sender.recover()) == 2
    assert minted(world) == 3
    assert [row.id for row in transactions(world) if row.state == TransactionState.MINED] == [first, second]


def test_a_key_that_was_used_elsewhere_takes_a_new_nonce(world: World) -> None:
    web3 = world.contracts.web3
    world.send("operator", mint(world, 1))
    fee = world.contracts.profile.priority_fee_wei
    foreign = {
        "to": world.nobody,
        "value": 0,
        "gas": 21_000,
        "maxFeePerGas": 10,
        "maxPriorityFeePerGas": fee,
        "type": 2,
        "chainId": world.contracts.deployment.chain_id,
        "nonce": transactions(world)[-1].nonce + 1,
    }
    signed = Account.sign_transaction(foreign, world.keys["operator"])
    web3.eth.wait_for_transaction_receipt(web3.eth.send_raw_transaction(signed.raw_transaction), timeout=60)
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
    world.contracts.profile = replace(world.contracts.profile, resend_after_s=60.0)  # however slow the machine
    calls = [(mint(world), "mint", f"together-{number}") for number in range(30)]
    world.sender("operator").send_all(calls)
    assert len(given) == len(set(given)) == 30


def test_a_replacement_offers_a_higher_tip_too(world: World) -> None:
    """Nodes refuse one whose cap alone has grown as underpriced: it was never taken. Here it waits behind a nonce that
    nobody has sent, so that no proposer can have put it into a block meanwhile."""
    world.contracts.profile = replace(world.contracts.profile, priority_fee_wei=4)
    sender = TransactionSender(world.contracts, world.engine, world.keys["operator"], now=world.now)
    missing, waiting = (sender._prepared(mint(world), "mint", key, None) for key in ("missing", "waiting"))
    sender._send_raw(sender._load(waiting))
    sender._replace(waiting)
    sender._send_raw(sender._load(waiting))
    row = sender._load(waiting)
    assert (row.attempts, len(row.replaced_hashes)) == (2, 1), "the node has taken the first replacement"
    assert TypedTransaction.from_bytes(HexBytes(row.raw)).as_dict()["maxPriorityFeePerGas"] > 4
    assert len(sender.recover()) == 2
    assert [sender._load(id_).state for id_ in (missing, waiting)] == [TransactionState.MINED] * 2
    assert minted(world) == 10


@pytest.mark.parametrize("fee", ["gasPrice", "maxFeePerGas"])
def test_what_the_operator_signed_itself_is_carried_once(world: World, fee: str) -> None:
    operator, token = world.address("operator"), world.contracts.token
    tip = {"maxPriorityFeePerGas": world.contracts.profile.priority_fee_wei} if fee == "maxFeePerGas" else {}
    nonce = world.contracts.web3.eth.get_transaction_count(operator)
    transaction = mint(world).build_transaction({"from": operator, "nonce": nonce, "gas": 300_000, fee: 10, **tip})
    raw = bytes(Account.sign_transaction(dict(transaction), world.keys["operator"]).raw_transaction)
    first = carry(world.contracts, raw, world.now())
    assert first.event("Minted")["to"] == world.nobody
    assert carry(world.contracts, raw, world.now()) == first
    assert minted(world) == 5
    foreign = dict(transaction, to=world.nobody, nonce=99)
    signed = bytes(Account.sign_transaction(foreign, world.keys["operator"]).raw_transaction)
    with pytest.raises(ValidationFailed, match="one of the market's contracts"):
        carry(world.contracts, signed, world.now())
    with pytest.raises(ValidationFailed, match="must be a signed transaction"):
        carry(world.contracts, b"nonsense", world.now())
    assert world.contracts.call(token.functions.balanceOf(world.nobody)) == 5


def test_bytes_that_a_node_lost_are_sent_again(world: World) -> None:
    """The row says SENT, and the node knows nothing of it."""
    sender = world.sender("operator")
    id_ = sender._prepared(mint(world), "mint", "lost", None)
    with session_scope(world.engine) as session:
        session.get_one(Transaction, id_).state = TransactionState.SENT
    assert minted(world) == 0
    assert [receipt.event("Minted")["amountUeur"] for receipt in sender.recover()] == [5]
