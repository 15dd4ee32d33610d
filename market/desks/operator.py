"""Transactions of operator, referee and governance at their desk: signed only when they are what was asked for."""

from __future__ import annotations

from typing import Any, Final

from eth_account import Account
from web3 import Web3

from market.chain.bindings import Contracts, encode_call
from market.chain.deployment import CONTRACT_NAMES, Deployment
from market.chain.profiles import PROFILES
from market.desks.desk import Desk
from market.desks.market_client import Json
from market.domain.typed_data import CONTRACT_KEYS, checksum_address
from market.services.operator_actions import Action
from market.settings import ChainProfile

_LARGEST_FEE_WEI: Final = 10**17
"""A tenth of a coin: no call of ours costs that much."""


class ForeignTransaction(Exception):
    """The market has prepared another transaction than the one that was asked for."""


def transact(desk: Desk, action: Action) -> Json:
    """Have an action prepared, sign it with the desk's key, and have it carried: the transaction and its events.

    Raises:
        MarketProblem: market or contract refuses. ForeignTransaction: what was prepared is not the action.
    """
    prepared = desk.client.post("/v1/operator/transactions/prepare", action.model_dump(mode="json"))
    _require_asked_for(desk, action, prepared)
    signed = Account.sign_transaction(prepared, desk.private_key)
    return desk.client.post(
        "/v1/operator/transactions", {"raw_transaction": "0x" + bytes(signed.raw_transaction).hex()}
    )


def _require_asked_for(desk: Desk, action: Action, prepared: dict[str, Any]) -> None:
    function = action.call(_contracts(desk))
    expected = {
        "chainId": desk.facts.chain_id,
        "to": str(function.address),
        "data": "0x" + encode_call(function).hex(),
        "value": 0,
    }
    wrong = sorted(name for name, value in expected.items() if prepared.get(name) != value)
    if int(prepared["gas"]) * int(prepared["maxFeePerGas"]) > _LARGEST_FEE_WEI:
        wrong.append("maxFeePerGas")
    if wrong:
        raise ForeignTransaction(f"the market prepared a transaction with another {', '.join(wrong)}: it is not signed")


def _contracts(desk: Desk) -> Contracts:
    """The contracts as the market describes them; nothing is asked of a chain."""
    facts = desk.facts
    addresses = {name: checksum_address(facts.contracts[CONTRACT_KEYS[name]]) for name in CONTRACT_NAMES}
    deployment = Deployment(chain_id=facts.chain_id, deployer="", first_block=0, addresses=addresses)
    return Contracts(Web3(), deployment, PROFILES[ChainProfile.EMBEDDED])
