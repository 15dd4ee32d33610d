"""What a transaction costs: gas limit and fee cap, by the profile of the chain."""

from __future__ import annotations

from typing import Any, Final

import structlog
from web3.contract.contract import ContractFunction

from market.chain.bindings import Contracts, encode_call
from market.chain.profiles import RpcError, rpc
from market.domain.errors import MeritgridError

log = structlog.get_logger(__name__)

_EMPTIED_SLOTS_GAS: Final = 60_000
"""Three slots of storage that others have emptied between the estimate and the block: each costs 17,100 more to set."""


def gas_limit(contracts: Contracts, sender: str, to: str, data: bytes, at_s: int) -> int:
    """Gas limit of a call that has been tried: the node's estimate with a quarter and some slots more, or the
    profile's.

    A node estimates at its last block's time: where none was made for long, a deadline may be over since and the call
    do more. So the limit is tried at the present time (`at_s` [epoch s]).
    """
    profile = contracts.profile
    if not profile.estimates_gas:
        return profile.gas_limit
    call = {"from": sender, "to": to, "data": "0x" + data.hex()}
    try:
        estimate = int(rpc(contracts.web3, "eth_estimateGas", call), 16)
        limit = min(estimate * 5 // 4 + _EMPTIED_SLOTS_GAS, profile.gas_limit)
        contracts.try_raw(to, data, sender, at_s=at_s, gas=limit)
    except (RpcError, MeritgridError) as error:
        # The trial passed, so the estimate is of another time: the profile's limit is enough for all calls.
        log.warning("gas could not be estimated", reason=str(error))
        return profile.gas_limit
    return limit


def max_fee_wei(contracts: Contracts) -> int:
    """Fee cap per gas: twice the base fee plus the profile's tip.

    The base fee is the latest block's, or what the node would ask for now where that is more: a chain that makes no
    blocks while nothing happens says a floor that has been raised in no block yet, and would take nothing below it.
    """
    block = rpc(contracts.web3, "eth_getBlockByNumber", "latest", False)
    asked_wei = int(rpc(contracts.web3, "eth_gasPrice"), 16)
    return 2 * max(int(block.get("baseFeePerGas", "0x0"), 16), asked_wei) + contracts.profile.priority_fee_wei


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
        "gas": gas_limit(contracts, sender, to, data, at_s),
        "maxFeePerGas": fee_wei,
        "maxPriorityFeePerGas": min(contracts.profile.priority_fee_wei, fee_wei),
    }
