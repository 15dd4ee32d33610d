"""The base fee rises, by the settings of the chain or by load: what was signed below it is signed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import pytest
from web3 import Web3

from market.chain.profiles import rpc
from market.chain.sender import TransactionSender
from market.store.database import read_scope
from market.store.models import Transaction, TransactionState
from scripts.network.genesis import chain_genesis
from tests.network.world import NetworkWorld

pytestmark = [pytest.mark.network, pytest.mark.slow]

FEE_MANAGER: Final = Web3.to_checksum_address("0x0200000000000000000000000000000000000003")
FIELDS: Final = (
    "gasLimit", "targetBlockRate", "minBaseFee", "targetGas", "baseFeeChangeDenominator", "minBlockGasCost",
    "maxBlockGasCost", "blockGasCostStep",
)  # fmt: skip
ABI: Final = [
    {
        "type": "function",
        "name": "setFeeConfig",
        "stateMutability": "nonpayable",
        "inputs": [{"name": name, "type": "uint256"} for name in FIELDS],
        "outputs": [],
    }
]
AT_GENESIS: Final[dict[str, int]] = chain_genesis(1, 0, [], [])["config"]["feeConfig"]
FLOOR_WEI: Final = 1000

SetFees = Callable[..., None]


@pytest.fixture
def set_fees(world: NetworkWorld) -> Iterator[SetFees]:
    """Changes some of the chain's fee settings, as its operator may; afterwards all is as at genesis."""
    manager = world.contracts.web3.eth.contract(address=FEE_MANAGER, abi=ABI)

    def change(**changed: int) -> None:
        values = {**AT_GENESIS, **changed}
        world.send("operator", manager.functions.setFeeConfig(*(values[name] for name in FIELDS)))

    yield change
    change(baseFeeChangeDenominator=1)  # to the floor with the next blocks: with that of genesis it takes minutes
    while base_fee_wei(world) > AT_GENESIS["minBaseFee"]:
        change(baseFeeChangeDenominator=1)
    change()


def base_fee_wei(world: NetworkWorld) -> int:
    return int(rpc(world.contracts.web3, "eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)


def row_of(world: NetworkWorld, key: str) -> Transaction:
    with read_scope(world.engine) as session:
        return session.query(Transaction).filter_by(purpose_key=key).one()


def test_what_was_signed_below_a_floor_that_has_been_raised_is_signed_again(
    world: NetworkWorld, set_fees: SetFees
) -> None:
    """No block bears the new floor yet: the chain makes none while it takes nothing."""
    sender, approve = world.sender("dso"), world.contracts.token.functions.approve(world.address("oracle"), 55)
    sender._prepared(approve, "approve", "below the floor", None)
    set_fees(minBaseFee=FLOOR_WEI)
    assert base_fee_wei(world) < FLOOR_WEI
    assert sender.send(approve, "approve", "below the floor").event("Approval")["value"] == 55
    row = row_of(world, "below the floor")
    assert row.state == TransactionState.MINED
    assert len(row.replaced_hashes) == 1
    assert row.max_fee_wei >= base_fee_wei(world) >= FLOOR_WEI


def test_under_load_that_raises_the_base_fee_everything_gets_into_the_chain(
    world: NetworkWorld, set_fees: SetFees
) -> None:
    """Each block has far more gas than the target, and the fee grows from one to the next."""
    set_fees(minBaseFee=FLOOR_WEI, targetGas=500_000, baseFeeChangeDenominator=4)
    sender = TransactionSender(world.contracts, world.engine, world.keys["dso"])
    approve = world.contracts.token.functions.approve
    fees_wei = []
    for wave in range(4):
        calls = [(approve(world.address("oracle"), number), "approve", f"load-{wave}-{number}") for number in range(30)]
        receipts = sender.send_all(calls)
        assert [receipt.event("Approval")["value"] for receipt in receipts] == list(range(30))
        fees_wei.append(base_fee_wei(world))
    assert max(fees_wei) > 2 * FLOOR_WEI
