"""The embedded node: found, started, driven by a simulated clock, and kept across a kill."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from market.chain.embedded import EmbeddedChain, EmbeddedChainError, find_anvil, set_block_time, start_anvil

TIMESTAMP = 1_780_000_200


def latest_time(chain: EmbeddedChain) -> int:
    return int(chain.request("eth_getBlockByNumber", "latest", False)["timestamp"], 16)


def receipt_of(chain: EmbeddedChain, digest: str) -> dict[str, Any]:
    """The receipt, once it is there: the node answers a transaction a moment before its block is made."""
    for _ in range(200):
        if (receipt := chain.request("eth_getTransactionReceipt", digest)) is not None:
            found: dict[str, Any] = receipt
            return found
        time.sleep(0.01)
    raise AssertionError(f"no receipt of {digest}")


def send_coin(chain: EmbeddedChain) -> str:
    sender, receiver = chain.request("eth_accounts")[:2]
    transfer = {"from": sender, "to": receiver, "value": "0x1", "gasPrice": "0x0"}
    digest: str = chain.request("eth_sendTransaction", transfer)
    return digest


def test_blocks_bear_the_time_that_was_set_until_it_is_moved(anvil: EmbeddedChain) -> None:
    assert latest_time(anvil) == TIMESTAMP
    for _ in range(3):
        receipt_of(anvil, send_coin(anvil))
        assert latest_time(anvil) == TIMESTAMP
    set_block_time(anvil.rpc_url, TIMESTAMP + 900)
    receipt_of(anvil, send_coin(anvil))
    assert latest_time(anvil) == TIMESTAMP + 900


def test_time_never_goes_back(anvil: EmbeddedChain) -> None:
    with pytest.raises(EmbeddedChainError, match="imestamp"):
        set_block_time(anvil.rpc_url, TIMESTAMP - 1)


def test_a_transaction_is_mined_at_once_and_free_of_charge(anvil: EmbeddedChain) -> None:
    receipt = receipt_of(anvil, send_coin(anvil))
    assert receipt["status"] == "0x1"
    assert int(receipt["effectiveGasPrice"], 16) == 0


def test_a_transaction_above_the_cap_of_eip_7825_is_refused(anvil: EmbeddedChain) -> None:
    sender = anvil.request("eth_accounts")[0]
    with pytest.raises(EmbeddedChainError, match=r"(?i)gas"):
        anvil.request("eth_sendTransaction", {"from": sender, "to": sender, "gas": hex(2**24 + 1), "gasPrice": "0x0"})


def test_state_survives_a_kill(tmp_path: Path, free_port: int) -> None:
    state_file = tmp_path / "chain.json"
    with start_anvil(free_port, state_file, TIMESTAMP) as chain:
        digest = send_coin(chain)
        receipt_of(chain, digest)
        height = chain.request("eth_blockNumber")
        time.sleep(2.5)  # the node writes its state each second
        chain.process.kill()
        chain.process.wait()
    with start_anvil(free_port, state_file, TIMESTAMP + 900) as chain:
        assert chain.request("eth_getTransactionReceipt", digest)["status"] == "0x1"
        assert int(chain.request("eth_blockNumber"), 16) == int(height, 16) + 1
        assert latest_time(chain) == TIMESTAMP + 900


def test_a_taken_port_is_named(anvil: EmbeddedChain) -> None:
    with pytest.raises(EmbeddedChainError, match=f"port {anvil.port}"):
        start_anvil(anvil.port)


def test_a_named_binary_must_be_executable(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedChainError, match="MERITGRID_ANVIL"):
        find_anvil({"MERITGRID_ANVIL": str(tmp_path / "absent")})
