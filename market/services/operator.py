"""Transactions of operator, referee and governance: prepared for their keys, carried, and told what they did."""

from __future__ import annotations

from typing import Any

from market.chain.fees import unsigned
from market.chain.profiles import RpcError
from market.chain.receipts import Receipt, carry, read_transaction
from market.domain.errors import Category, MeritgridError
from market.services.access import NotAllowed, Principal, Scope
from market.services.decisions import audit
from market.services.market import Market
from market.services.operator_actions import AcceptAdminTransfer, Action
from market.services.roles import Role, require_role

_DECIDING = (Role.OPERATOR, Role.REFEREE, Role.ADMIN)


class TransactionNotTaken(MeritgridError):
    """The chain's node does not take a signed transaction: its nonce or fee is wrong, or it waited too long."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "transaction-not-taken",
            "The chain does not take the transaction",
            f"{why}. Prepare it again and sign the new one.",
            category=Category.CONFLICT,
        )


def prepare(market: Market, principal: Principal, action: Action) -> dict[str, Any]:
    """The transaction of an action, unsigned, for the caller's own key.

    Raises:
        NotAllowed: the caller has no role that decides anything.
        ContractRefused: the contract would refuse it from this caller now.
    """
    _require_deciding(market, principal, isinstance(action, AcceptAdminTransfer))
    return unsigned(market.contracts, action.call(market.contracts), principal.address, market.now_s())


def submit(market: Market, principal: Principal, raw_transaction: bytes) -> dict[str, Any]:
    """Carry a transaction that the caller has signed, and say what it did. Harmless to repeat.

    Raises:
        ValidationFailed: it is no transaction to the market's contracts. NotAllowed: somebody else has signed it.
        ContractRefused, TransactionNotTaken: it was not carried out.
    """
    sender, _, _ = read_transaction(market.contracts, raw_transaction)
    if sender != principal.address:
        raise NotAllowed(f"The transaction is signed by {sender}, you are signed in as {principal.address}.")
    _require_deciding(market, principal, _is_next_admin(market, sender))
    try:
        receipt = carry(market.contracts, raw_transaction, market.now_s())
    except RpcError as problem:
        raise TransactionNotTaken(problem.message) from problem
    with market.sessions() as session:
        for event in receipt.events:
            audit(session, market.now_s(), sender, event.name, event.contract, receipt.transaction_hash)
    market.index()
    return _document(receipt)


def _require_deciding(market: Market, principal: Principal, is_next_admin: bool) -> None:
    principal.require(Scope.DECISIONS)
    if not is_next_admin:
        with market.reading() as session:
            require_role(session, principal, *_DECIDING)


def _is_next_admin(market: Market, address: str) -> bool:
    """Whether the governance is being handed to an address, which holds no role before it accepts."""
    pending, _ = market.contracts.call(market.contracts.registry.functions.pendingDefaultAdmin())
    return bool(pending == address)


def _document(receipt: Receipt) -> dict[str, Any]:
    return {
        "transaction": receipt.transaction_hash,
        "block": receipt.block,
        "gas_used": receipt.gas_used,
        "events": [
            {"contract": event.contract, "event": event.name, "arguments": dict(event.arguments)}
            for event in receipt.events
        ],
    }
