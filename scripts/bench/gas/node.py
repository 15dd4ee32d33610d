"""The node that is measured: signed transactions one by one, and calls in bulk for what is set up beforehand."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from eth_abi.abi import encode as abi_encode
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.abi import get_abi_input_types
from web3 import Web3
from web3.contract import Contract

from market.chain.bindings import decode_error
from market.chain.embedded import EmbeddedChain, EmbeddedChainError, set_block_time
from market.domain.hashing import keccak256

TRANSACTION_GAS: Final = 16_777_216
"""What one transaction may take, EIP-7825. [gas]"""
TRANSACTION_BYTES: Final = 131_072
"""The longest signed transaction that the pools of geth's family take. [byte]"""
SET_UP_BLOCK_GAS: Final = 4_000_000_000
"""Gas of a block: hundreds of registrations go into one while the market is set up."""

_CHUNK: Final = 500
_WEI: Final = 10**9
_USUAL_NONCE: Final = 40_000
_RICH: Final = hex(10**24)
_ANSWER_S: Final = 120.0

Item = TypeVar("Item")


class GasBenchError(Exception):
    """A transaction that must succeed failed, or the node did not answer as it must."""


class BeyondTransaction(GasBenchError):
    """One transaction is not enough for a call."""


class OutOfGas(BeyondTransaction):
    """It needs more gas than a transaction may take."""


class TooLong(BeyondTransaction):
    """It has more bytes than a pool takes."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction that succeeded.

    gas: what its receipt says; calldata: length of its input [byte]; size: length of the whole signed transaction
    [byte]; logs: as the node gives them.
    """

    gas: int
    calldata: int
    size: int
    logs: tuple[Any, ...] = field(repr=False)


@dataclass
class Node:
    """A running anvil, and the accounts that send. transaction_gas: what each transaction is given."""

    chain: EmbeddedChain
    transaction_gas: int = TRANSACTION_GAS
    _nonces: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.web3 = Web3(Web3.HTTPProvider(self.chain.rpc_url))
        self.chain_id: int = self.web3.eth.chain_id

    def account(self, name: str) -> LocalAccount:
        """An account of its own name and key, rich enough to send."""
        account: LocalAccount = Account.from_key(keccak256(f"gas benchmark: {name}".encode()))
        self.chain.request("anvil_setBalance", account.address, _RICH)
        return account

    def create(self, sender: LocalAccount, abi: list[Any], bytecode: str) -> Contract:
        """Creates a contract without constructor arguments."""
        receipt = self._receipt(self._signed(sender, {"data": "0x" + bytecode})[1])
        if int(receipt["status"], 16) != 1:
            raise GasBenchError("a contract of the benchmark could not be created")
        return self.web3.eth.contract(address=Web3.to_checksum_address(receipt["contractAddress"]), abi=abi)

    # MEASURED

    def send(self, sender: LocalAccount, contract: Contract, call: str, *arguments: Any) -> Sent:
        """Sends a signed transaction, alone in its block, and waits for it.

        Raises:
            BeyondTransaction: one transaction is not enough; OutOfGas or TooLong says why.
            GasBenchError: it reverts, with the contract's reason.
        """
        transaction = {"to": contract.address, "data": contract.encode_abi(call, list(arguments))}
        raw, digest = self._signed(sender, transaction)
        receipt = self._receipt(digest)
        if int(receipt["status"], 16) != 1:
            if int(receipt["gasUsed"], 16) >= self.transaction_gas * 63 // 64:
                raise OutOfGas(f"{call} needs more than {self.transaction_gas:,} gas")
            raise GasBenchError(f"{call} reverted: {self._reason(sender.address, transaction)}")
        return Sent(int(receipt["gasUsed"], 16), len(transaction["data"]) // 2 - 1, len(raw), tuple(receipt["logs"]))

    def at(self, moment: int) -> None:
        """Moves the clock, never back. [epoch seconds]"""
        set_block_time(self.chain.rpc_url, moment)

    def now(self) -> int:
        """Time of the latest block. [epoch seconds]"""
        return int(self.chain.request("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def size_of(self, sender: LocalAccount, contract: Contract, call: str, *arguments: Any) -> int:
        """Length of a signed transaction that is not sent, by a sender that has sent many. [byte]"""
        transaction = {"to": contract.address, "data": contract.encode_abi(call, list(arguments))}
        return len(self._sign(sender, transaction, _USUAL_NONCE))

    def _signed(self, sender: LocalAccount, transaction: dict[str, Any]) -> tuple[bytes, str]:
        """Signs and sends; the signed transaction and its hash."""
        raw = self._sign(sender, transaction, self._nonce(sender.address))
        if len(raw) > TRANSACTION_BYTES:
            raise TooLong(f"a transaction of {len(raw):,} bytes would not be taken by a pool")
        self._nonces[sender.address] += 1
        return raw, self.chain.request("eth_sendRawTransaction", "0x" + raw.hex())

    def _sign(self, sender: LocalAccount, transaction: dict[str, Any], nonce: int) -> bytes:
        terms = {
            "chainId": self.chain_id,
            "nonce": nonce,
            "gas": self.transaction_gas,
            "maxFeePerGas": 2 * _WEI,
            "maxPriorityFeePerGas": _WEI,
            "value": 0,
        }
        return bytes(sender.sign_transaction(terms | transaction).raw_transaction)

    def _nonce(self, address: str) -> int:
        """The next one of an account that sends through this alone."""
        if address not in self._nonces:
            self._nonces[address] = int(self.chain.request("eth_getTransactionCount", address, "latest"), 16)
        return self._nonces[address]

    def _receipt(self, digest: str) -> dict[str, Any]:
        deadline = time.monotonic() + _ANSWER_S
        while time.monotonic() < deadline:
            found: dict[str, Any] | None = self.chain.request("eth_getTransactionReceipt", digest)
            if found is not None:
                return found
            time.sleep(0.001)
        raise GasBenchError(f"the node has not executed {digest} within {_ANSWER_S:.0f} s")

    def _reason(self, sender: str, transaction: dict[str, Any]) -> str:
        call = {"from": sender, "to": transaction["to"], "data": transaction["data"], "gas": hex(self.transaction_gas)}
        answer = self._post([{"jsonrpc": "2.0", "id": 0, "method": "eth_call", "params": [call, "latest"]}])[0]
        data = answer.get("error", {}).get("data")
        return str(decode_error(data)) if data else json.dumps(answer)[:200]

    # SET-UP

    def send_all(self, sender: LocalAccount, contract: Contract, call: str, rows: Sequence[Sequence[Any]]) -> None:
        """Sends many calls of one function, in their order, hundreds in a block. GasBenchError when one fails."""
        if not rows:
            return
        # web3 looks the function up anew for each call, which takes five times as long as all the rest.
        function = contract.get_function_by_name(call).abi
        selector = contract.encode_abi(call, list(rows[0]))[:10]
        types = get_abi_input_types(function)
        encoded = [selector + abi_encode(types, list(row)).hex() for row in rows]
        self.chain.request("anvil_impersonateAccount", sender.address)
        self.chain.request("evm_setAutomine", False)
        try:
            for start in range(0, len(encoded), _CHUNK):
                self._send_block(sender.address, contract.address, call, encoded[start : start + _CHUNK])
        finally:
            self.chain.request("evm_setAutomine", True)
            self.chain.request("anvil_stopImpersonatingAccount", sender.address)

    def _send_block(self, sender: str, to: str, call: str, encoded: Sequence[str]) -> None:
        common, first = {"from": sender, "to": to, "gas": hex(1_000_000), "gasPrice": "0x0"}, self._nonce(sender)
        requests = [
            {
                "jsonrpc": "2.0",
                "id": place,
                "method": "eth_sendTransaction",
                "params": [common | {"data": data, "nonce": hex(first + place)}],
            }
            for place, data in enumerate(encoded)
        ]
        self._nonces[sender] += len(requests)
        for answer in self._post(requests):
            if "error" in answer:
                raise GasBenchError(f"{call}: {answer['error']['message']}")
        self.chain.request("evm_mine")
        receipts = self.chain.request("eth_getBlockReceipts", "latest")
        if len(receipts) != len(encoded) or any(int(receipt["status"], 16) != 1 for receipt in receipts):
            failed = sum(int(receipt["status"], 16) != 1 for receipt in receipts)
            raise GasBenchError(f"{call}: {len(receipts)} of {len(encoded)} executed, {failed} of them failed")

    def _post(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        body = json.dumps(requests).encode()
        call = urllib.request.Request(self.chain.rpc_url, body, {"Content-Type": "application/json"})  # noqa: S310
        try:
            with urllib.request.urlopen(call, timeout=_ANSWER_S) as response:  # noqa: S310
                answers: list[dict[str, Any]] = json.load(response)
        except OSError as error:
            raise EmbeddedChainError(f"no answer from {self.chain.rpc_url}: {error}") from error
        return answers


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Consecutive parts of at most `size` items."""
    return (items[start : start + size] for start in range(0, len(items), size))
