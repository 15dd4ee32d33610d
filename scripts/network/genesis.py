"""The chain's genesis: fees, who may send and deploy at first, and who may change that. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

BLOCK_GAS_LIMIT: Final = 30_000_000
"""As of the embedded chain: what runs on one fits on the other."""
FIRST_COIN_WEI: Final = 10**27
"""The operator's at first. Gas costs 1 wei, so that a thousand full blocks a second take centuries to use it up."""


def chain_genesis(chain_id: int, timestamp_s: int, admins: Sequence[str], managers: Sequence[str]) -> dict[str, Any]:
    """The genesis document of Subnet-EVM.

    Args:
        chain_id: EIP-155 chain id.
        timestamp_s: time of block 0 [epoch s]; the rules of all network upgrades hold from then on.
        admins: who may change every list, fees included (the operator).
        managers: who may list and delist senders and deployers, and hand out coin (the service that reconciles).
    """
    everybody = [*admins, *managers]
    may_change = {"blockTimestamp": timestamp_s, "adminAddresses": list(admins)}
    lists = {**may_change, "managerAddresses": list(managers)}
    fees = _fees()
    return {
        "config": {
            "chainId": chain_id,
            "feeConfig": fees,
            "allowFeeRecipients": False,
            "txAllowListConfig": lists,
            "contractDeployerAllowListConfig": lists,
            "contractNativeMinterConfig": {**may_change, "enabledAddresses": list(managers)},
            "feeManagerConfig": may_change,
        },
        "alloc": {address.removeprefix("0x"): {"balance": hex(FIRST_COIN_WEI)} for address in everybody},
        "nonce": "0x0",
        "timestamp": hex(timestamp_s),
        "extraData": "0x",
        "gasLimit": hex(fees["gasLimit"]),
        "difficulty": "0x0",
        "mixHash": "0x" + 32 * "00",
        "coinbase": "0x" + 20 * "00",
        "number": "0x0",
        "gasUsed": "0x0",
        "parentHash": "0x" + 32 * "00",
    }


def _fees() -> dict[str, int]:
    """The base fee stays at its least, 1 wei: who may send is a matter of the lists, not of the price.

    `targetGas` (gas in ten seconds above which the fee rises) is more than full blocks can hold.
    """
    return {
        "gasLimit": BLOCK_GAS_LIMIT,
        "minBaseFee": 1,
        "targetGas": 1_000_000_000,
        "baseFeeChangeDenominator": 48,
        "minBlockGasCost": 0,
        "maxBlockGasCost": 0,
        "targetBlockRate": 1,
        "blockGasCostStep": 0,
    }
