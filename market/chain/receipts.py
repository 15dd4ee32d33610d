"""Receipts of transactions: what the chain did, or why it refused."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import rlp  # type: ignore[import-untyped]
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError
from hexbytes import HexBytes
from web3 import Web3

from market.chain.bindings import Contracts, Event
from market.chain.profiles import RpcError, rpc
from market.chain.refusals import SenderNotListed, TransactionFailed
from market.domain.errors import MeritgridError, ValidationFailed, Violation
from market.domain.hashing import keccak256

_FIRST_LIST_BYTE: Final = 0xC0
"""A legacy transaction is an RLP list; a typed one begins with its type (EIP-2718)."""
_WAIT_S: Final = 60.0
_SLOWEST_POLL_S: Final = 1.0


@dataclass(frozen=True)
class Receipt:
    """A transaction that the chain has executed.

    Attributes:
        transaction_hash: its hash.
        block: its block.
        gas_used: gas that it took.
        events: events of our contracts that it caused, in order.
    """

    transaction_hash: str
    block: int
    gas_used: int
    events: tuple[Event, ...]

    def event(self, name: str) -> Event:
        """Its first event of a name; LookupError when there is none."""
        for event in self.events:
            if event.name == name:
                return event
        raise LookupError(f"transaction {self.transaction_hash} has no event {name}")


def find_receipt(web3: Web3, hashes: Iterable[str]) -> Mapping[str, Any] | None:
    """The raw receipt of the first of some transactions that is in a block."""
    for hash_ in hashes:
        receipt: Mapping[str, Any] | None = rpc(web3, "eth_getTransactionReceipt", hash_)
        if receipt is not None and receipt.get("blockNumber"):
            return receipt
    return None


def is_success(raw: Mapping[str, Any]) -> bool:
    """Whether the transaction of a raw receipt was not reverted."""
    return int(raw["status"], 16) == 1


def read_receipt(contracts: Contracts, raw: Mapping[str, Any]) -> Receipt:
    """The receipt of a raw one, with decoded events."""
    time_s = _block_time(contracts.web3, raw["logs"], raw["blockHash"])
    decoded = (contracts.decode(entry, time_s) for entry in raw["logs"])
    events = tuple(event for event in decoded if event is not None)
    return Receipt(raw["transactionHash"], int(raw["blockNumber"], 16), int(raw["gasUsed"], 16), events)


def _block_time(web3: Web3, logs: Sequence[Mapping[str, Any]], block_hash: str) -> int:
    if not logs:
        return 0
    if "blockTimestamp" in logs[0]:
        return int(logs[0]["blockTimestamp"], 16)
    return int(rpc(web3, "eth_getBlockByHash", block_hash, False)["timestamp"], 16)


def refusal_of(
    contracts: Contracts, raw: Mapping[str, Any], sender: str, to: str, data: bytes, purpose: str
) -> MeritgridError:
    """Why a mined transaction failed: it is tried on the state before its block, then on the one after."""
    block = int(raw["blockNumber"], 16)
    time_s = int(rpc(contracts.web3, "eth_getBlockByNumber", hex(block), False)["timestamp"], 16)
    for at in (block - 1, block):
        try:
            contracts.try_raw(to, data, sender, hex(at), at_s=time_s)
        except MeritgridError as refusal:
            return refusal
    return TransactionFailed(purpose, block, raw["transactionHash"])


def carry(contracts: Contracts, raw_transaction: bytes, at_s: int) -> Receipt:
    """Carry a transaction that somebody signed himself (the operator) to the chain, and wait for its receipt.

    Harmless when it is there already. at_s: the present time, for the trial before it is sent [epoch s].

    Raises:
        ValidationFailed: it is no signed transaction of this chain to one of the market's contracts.
        MeritgridError: the contract refuses, when tried or when mined; the node takes nothing of who signed it.
        RpcError: the node does not take it (nonce, fee), or it is in no block after a minute.
    """
    sender, to, data = read_transaction(contracts, raw_transaction)
    hash_ = "0x" + keccak256(raw_transaction).hex()
    raw = find_receipt(contracts.web3, [hash_])
    if raw is None:
        contracts.try_raw(to, data, sender, at_s=at_s)
        try:
            rpc(contracts.web3, "eth_sendRawTransaction", "0x" + raw_transaction.hex())
        except RpcError as error:
            if SenderNotListed.is_said_by(error):
                raise SenderNotListed(sender) from error
            if "already" not in error.message.lower():
                raise
        raw = _wait(contracts, hash_)
    if not is_success(raw):
        raise refusal_of(contracts, raw, sender, to, data, "The transaction")
    return read_receipt(contracts, raw)


_UNREADABLE: Final = (
    ValueError, TypeError, KeyError, IndexError, rlp.exceptions.RLPException, BadSignature, ValidationError
)  # fmt: skip


def read_transaction(contracts: Contracts, raw_transaction: bytes) -> tuple[str, str, bytes]:
    """(sender, contract, calldata) of a signed transaction to a contract of the market. Raises ValidationFailed."""
    try:
        sender = Account.recover_transaction(raw_transaction)
        if raw_transaction[0] < _FIRST_LIST_BYTE:
            fields = TypedTransaction.from_bytes(HexBytes(raw_transaction)).as_dict()
            to, data, chain_id = bytes(fields["to"]), bytes(fields["data"]), int(fields["chainId"])
        else:
            legacy = rlp.decode(raw_transaction)
            to, data, chain_id = legacy[3], legacy[5], (int.from_bytes(legacy[6], "big") - 35) // 2  # EIP-155
    except _UNREADABLE as error:
        rule = f"must be a signed transaction: {error}"
        raise ValidationFailed([Violation("/raw_transaction", "0x" + raw_transaction.hex()[:64], rule)]) from error
    address = "0x" + to.hex()
    violations = []
    if chain_id != contracts.deployment.chain_id:
        rule = f"must be for chain {contracts.deployment.chain_id}"
        violations.append(Violation("/raw_transaction/chain_id", chain_id, rule))
    if contracts.name_at(address) is None:
        violations.append(Violation("/raw_transaction/to", address, "must be one of the market's contracts"))
    if violations:
        raise ValidationFailed(violations)
    return sender, Web3.to_checksum_address(address), data


def _wait(contracts: Contracts, hash_: str) -> Mapping[str, Any]:
    deadline_s = time.monotonic() + _WAIT_S
    poll_s = contracts.profile.receipt_poll_s
    while (raw := find_receipt(contracts.web3, [hash_])) is None:
        if time.monotonic() > deadline_s:
            raise RpcError("eth_getTransactionReceipt", {"message": f"{hash_} is in no block after {_WAIT_S:.0f} s"})
        time.sleep(poll_s)
        poll_s = min(2 * poll_s, _SLOWEST_POLL_S)
    return raw
