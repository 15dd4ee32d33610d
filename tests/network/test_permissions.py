"""The nodes themselves refuse who is not registered; the lists follow the registry, whoever changed them."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import Web3

from market.chain.allow_lists import COIN_WEI, Change, Listing, ListName
from market.chain.profiles import RpcError, connect, rpc
from market.chain.refusals import SenderNotListed
from market.chain.sender import TransactionSender
from market.domain.hashing import keccak256
from tests.chain.world import KEYS
from tests.network.world import NETWORK, NetworkWorld
from tests.networks import Network

pytestmark = [pytest.mark.network, pytest.mark.slow]

NOT_LISTED = "non-allow listed address"
STORES_NOTHING = "0x600a600c600039600a6000f3602a60005260206000f3"
"""Creates a contract of ten bytes."""


def signed(web3: Web3, account: LocalAccount, **fields: Any) -> str:
    transaction = {
        "chainId": web3.eth.chain_id,
        "nonce": web3.eth.get_transaction_count(account.address),
        "gas": 200_000,
        "maxFeePerGas": 10,
        "maxPriorityFeePerGas": 1,
        "value": 0,
        **fields,
    }
    return "0x" + bytes(account.sign_transaction(transaction).raw_transaction).hex()


def role_call(world: NetworkWorld, grant: bool, account: str, role: str = "PROSUMER") -> None:
    functions = world.contracts.registry.functions
    change = functions.grantRole if grant else functions.revokeRole
    world.send("operator", change(keccak256(role.encode()), account))


@pytest.fixture
def wallet(world: NetworkWorld) -> LocalAccount:
    """A wallet with coin that nobody has registered."""
    account = Account.create()
    minter = world.contracts.web3.eth.contract(
        address=Web3.to_checksum_address("0x0200000000000000000000000000000000000001"),
        abi=[
            {
                "type": "function",
                "name": "mintNativeCoin",
                "stateMutability": "nonpayable",
                "inputs": [{"name": "to", "type": "address"}, {"name": "wei", "type": "uint256"}],
                "outputs": [],
            }
        ],
    )
    world.send("relayer", minter.functions.mintNativeCoin(account.address, COIN_WEI))
    return account


def test_every_node_refuses_a_sender_that_is_not_registered(
    network: Network, world: NetworkWorld, wallet: LocalAccount
) -> None:
    for name in network.validators.names():
        web3 = connect(network.member(name).rpc_url, NETWORK)
        with pytest.raises(RpcError, match=f"{NOT_LISTED}.*{wallet.address}"):
            rpc(web3, "eth_sendRawTransaction", signed(web3, wallet, to=wallet.address))


def test_the_sender_says_who_is_not_listed_and_goes_on_when_it_is(world: NetworkWorld, wallet: LocalAccount) -> None:
    sender = TransactionSender(world.contracts, world.engine, bytes(wallet.key))
    approve = world.contracts.token.functions.approve(world.address("dso"), 7)
    with pytest.raises(SenderNotListed, match=wallet.address):
        sender.send(approve, "approve", "unlisted")
    role_call(world, True, wallet.address)
    world.reconcile()
    receipt = sender.send(approve, "approve", "unlisted")
    assert receipt.event("Approval")["value"] == 7


def test_registering_a_wallet_lists_it_with_coin_and_revoking_delists_it(world: NetworkWorld) -> None:
    account = Account.create()
    web3 = world.contracts.web3
    role_call(world, True, account.address)
    assert world.reconcile() == [Change(ListName.SENDERS, account.address, Listing.ENABLED)]
    assert web3.eth.get_balance(account.address) == COIN_WEI
    sent = rpc(web3, "eth_sendRawTransaction", signed(web3, account, to=account.address))
    assert web3.eth.wait_for_transaction_receipt(sent, timeout=60)["status"] == 1
    role_call(world, False, account.address)
    assert world.reconcile() == [Change(ListName.SENDERS, account.address, Listing.NONE)]
    with pytest.raises(RpcError, match=NOT_LISTED):
        rpc(web3, "eth_sendRawTransaction", signed(web3, account, to=account.address))
    assert world.reconcile() == []


def test_drift_is_repaired_in_both_directions(world: NetworkWorld, wallet: LocalAccount) -> None:
    senders = world.lists.contract(ListName.SENDERS).functions
    world.send_all("operator", [senders.setEnabled(wallet.address), senders.setNone(world.address("dso"))])
    assert world.lists.listing(ListName.SENDERS, wallet.address) is Listing.ENABLED
    assert world.reconcile() == [
        Change(ListName.SENDERS, wallet.address, Listing.NONE),
        Change(ListName.SENDERS, world.address("dso"), Listing.ENABLED),
    ]
    # And once more the same: each time is a purpose of its own.
    world.send("operator", senders.setNone(world.address("dso")))
    assert world.reconcile() == [Change(ListName.SENDERS, world.address("dso"), Listing.ENABLED)]
    assert world.lists.listing(ListName.SENDERS, world.address("dso")) is Listing.ENABLED


def test_admin_and_manager_of_the_lists_are_left_alone(world: NetworkWorld) -> None:
    assert world.lists.listing(ListName.SENDERS, world.address("operator")) is Listing.ADMIN
    assert world.lists.listing(ListName.SENDERS, world.address("relayer")) is Listing.MANAGER
    world.reconcile()
    assert world.lists.listing(ListName.SENDERS, world.address("operator")) is Listing.ADMIN
    assert world.lists.listing(ListName.DEPLOYERS, world.address("relayer")) is Listing.MANAGER


def test_a_registered_sender_that_is_no_deployer_creates_no_contract(world: NetworkWorld) -> None:
    web3, oracle = world.contracts.web3, Account.from_key(KEYS["oracle"])
    with pytest.raises(RpcError, match="not authorized to deploy"):
        rpc(web3, "eth_call", {"from": oracle.address, "data": STORES_NOTHING}, "latest")
    sent = rpc(web3, "eth_sendRawTransaction", signed(web3, oracle, data=STORES_NOTHING))
    receipt = web3.eth.wait_for_transaction_receipt(sent, timeout=60)
    assert receipt["status"] == 0
    assert web3.eth.get_code(receipt["contractAddress"]) == b""


def test_who_becomes_an_operator_deploys_until_the_role_is_revoked(world: NetworkWorld) -> None:
    account = Account.create()
    web3 = world.contracts.web3
    role_call(world, True, account.address, "OPERATOR")
    listed = [Change(name, account.address, Listing.ENABLED) for name in ListName]
    assert sorted(world.reconcile(), key=str) == sorted(listed, key=str)
    sent = rpc(web3, "eth_sendRawTransaction", signed(web3, account, data=STORES_NOTHING))
    created = web3.eth.wait_for_transaction_receipt(sent, timeout=60)
    assert created["status"] == 1
    assert len(web3.eth.get_code(created["contractAddress"])) == 10
    role_call(world, False, account.address, "OPERATOR")
    delisted = [Change(name, account.address, Listing.NONE) for name in ListName]
    assert sorted(world.reconcile(), key=str) == sorted(delisted, key=str)


def test_of_a_replacement_the_nodes_want_more_tip_too(world: NetworkWorld) -> None:
    """As the sender offers it. The nonce is not due yet, so that no block takes it meanwhile."""
    web3, oracle = world.contracts.web3, Account.from_key(KEYS["oracle"])
    nonce = web3.eth.get_transaction_count(oracle.address) + 7
    offered = {"to": oracle.address, "nonce": nonce}
    rpc(web3, "eth_sendRawTransaction", signed(web3, oracle, **offered, maxFeePerGas=3, maxPriorityFeePerGas=1))
    with pytest.raises(RpcError, match="underpriced"):
        rpc(web3, "eth_sendRawTransaction", signed(web3, oracle, **offered, maxFeePerGas=4, maxPriorityFeePerGas=1))
    rpc(web3, "eth_sendRawTransaction", signed(web3, oracle, **offered, maxFeePerGas=4, maxPriorityFeePerGas=2))
