"""What a transaction costs: gas limit and fee cap, by the profile of the chain."""

from __future__ import annotations

from typing import Any

import structlog
from web3.contract.contract import ContractFunction

from market.chain.bindings import Contracts, encode_call
from market.chain.profiles import RpcError, rpc

log = structlog.get_logger(__name__)


def gas_limit(contracts: Contracts, sender: str, to: str, data: bytes) -> int:
    """Gas limit of a call that has been tried: the node's estimate with a quarter more, or the profile's."""
    profile = contracts.profile
    if not profile.estimates_gas:
        return profile.gas_limit
    call = {"from": sender, "to": to, "data": "0x" + data.hex()}
    try:
        estimate = int(rpc(contracts.web3, "eth_estimateGas", call), 16)
    except RpcError as error:
        # The trial passed, so the estimate was made at the time of an old block: the limit is enough for all calls.
        log.warning("gas could not be estimated", reason=error.message)
        return profile.gas_limit
    return min(estimate * 5 // 4, profile.gas_limit)


def max_fee_wei(contracts: Contracts) -> int:
    """Fee cap per gas: twice the latest base fee plus the profile's tip."""
    block = rpc(contracts.web3, "eth_getBlockByNumber", "latest", False)
    return 2 * int(block.get("baseFeePerGas", "0x0"), 16) + contracts.profile.priority_fee_wei


def unsigned(contracts: Contracts, function: ContractFunction, sender: str, at_s: int) -> dict[str, Any]:
    """A transaction (EIP-1559) for a key that is elsewhere: with its next nonce, ready to be signed.

    Raises:
        MeritgridError: the contract would refuse it now.
    """
    contracts.call(function, sender, at_s=at_s)
    to, data = str(function.address), encode_call(function)
    fee_wei = max_fee_wei(contracts)
    return {
        "type": 2,
        "chainId": contracts.deployment.chain_id,
        "nonce": int(rpc(contracts.web3, "eth_getTransactionCount", sender, "pending"), 16),
        "to": to,
        "data": "0x" + data.hex(),
        "value": 0,
        "gas": gas_limit(contracts, sender, to, data),
        "maxFeePerGas": fee_wei,
        "maxPriorityFeePerGas": min(contracts.profile.priority_fee_wei, fee_wei),
    }
