"""A node asked over one connection that stays open: thousands of calls a minute, without web3 between."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

from market.chain.embedded import EmbeddedChain

GAS = "0xf42400"  # 16 million: EIP-7825 allows a little more
_HEADERS = {"Content-Type": "application/json"}


class NodeError(Exception):
    """The node answered with an error; `data` is a revert's, where there is one."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error.get("message", error))
        self.data = bytes.fromhex(str(error.get("data") or "0x").removeprefix("0x"))


@dataclass
class Node:
    """JSON-RPC of anvil; every address may send, nobody pays for gas."""

    chain: EmbeddedChain
    _connection: HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self._connection = HTTPConnection("127.0.0.1", self.chain.port, timeout=60)
        self.request("anvil_autoImpersonateAccount", True)
        self.request("anvil_setBlockTimestampInterval", 0)

    def request(self, method: str, *parameters: Any) -> Any:
        """One method's result; NodeError where there is none."""
        answer = self._exchange({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})
        if "error" in answer:
            raise NodeError(answer["error"])
        return answer["result"]

    def _exchange(self, body: Any) -> Any:
        self._connection.request("POST", "/", json.dumps(body).encode(), _HEADERS)
        return json.loads(self._connection.getresponse().read())

    def send(self, sender: str, to: str, data: bytes) -> dict[str, Any]:
        """Sends a transaction, which is mined at once; its receipt."""
        receipt: dict[str, Any] = self.request("eth_sendTransactionSync", _transaction(sender, to, data))
        return receipt

    def call(self, sender: str, to: str, data: bytes) -> bytes:
        """What a call would give now; NodeError with the revert's data where it would be refused."""
        return bytes.fromhex(self.request("eth_call", _transaction(sender, to, data), "latest")[2:])

    def read(self, calls: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """Many calls in one exchange."""
        if not calls:
            return []
        body = [
            {
                "jsonrpc": "2.0",
                "id": at,
                "method": "eth_call",
                "params": [{"to": to, "data": "0x" + data.hex()}, "latest"],
            }
            for at, (to, data) in enumerate(calls)
        ]
        answers = sorted(self._exchange(body), key=lambda answer: answer["id"])
        return [bytes.fromhex(answer["result"][2:]) for answer in answers]

    def jump(self, moment: int) -> None:
        """Mines a block at a moment [epoch s]; later ones stand there too."""
        self.request("evm_mine", {"timestamp": moment})

    def snapshot(self) -> str:
        return str(self.request("evm_snapshot"))

    def revert(self, snapshot: str) -> None:
        assert self.request("evm_revert", snapshot), "the snapshot is gone"


def _transaction(sender: str, to: str, data: bytes) -> dict[str, str]:
    return {"from": sender, "to": to, "gas": GAS, "gasPrice": "0x0", "data": "0x" + data.hex()}
