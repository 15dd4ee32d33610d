"""Sending for the benchmark: gas is the receipt's, and what fails says why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts.bench.gas.compile import create
from scripts.bench.gas.node import TRANSACTION_BYTES, GasBenchError, Node, OutOfGas, TooLong, batches
from scripts.bench.gas.scene import start_node

SEAT = ("0x" + "11" * 20, 2_500, 1_000)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with start_node() as chain:
        yield Node(chain)


def test_gas_and_bytes_are_those_of_the_transaction(node: Node) -> None:
    operator = node.account("operator")
    contract = create(node, "StoredSlots", operator)
    sent = node.send(operator, contract, "setReserved", 1, 2**255)
    block = node.chain.request("eth_getBlockByNumber", "latest", True)
    (transaction,) = block["transactions"]
    assert int(block["gasUsed"], 16) == sent.gas
    assert len(transaction["input"]) // 2 - 1 == sent.calldata == 68
    # A sender's first transactions have a nonce of one byte, its later ones of three.
    assert sent.size == node.size_of(operator, contract, "setReserved", 1, 2**255) - 2


def test_a_refusal_is_told_with_its_reason(node: Node) -> None:
    contract = create(node, "StoredSlots", node.account("operator"))
    with pytest.raises(GasBenchError, match="setReserved reverted"):
        node.send(node.account("stranger"), contract, "setReserved", 1, 1)


def test_what_needs_more_than_a_transaction_may_take_is_out_of_gas(node: Node) -> None:
    operator = node.account("operator")
    contract = create(node, "StoredSlots", operator)
    with pytest.raises(OutOfGas, match="registerSeats needs more than 16,777,216 gas"):
        node.send(operator, contract, "registerSeats", 0, [SEAT] * 1000)


def test_what_a_pool_would_not_take_is_not_sent(node: Node) -> None:
    operator = node.account("operator")
    contract = create(node, "StoredSlots", operator)
    with pytest.raises(TooLong, match="bytes would not be taken"):
        node.send(operator, contract, "registerSeats", 0, [SEAT] * (TRANSACTION_BYTES // 96))


def test_calls_in_bulk_keep_their_order_and_report_a_failure(node: Node) -> None:
    operator, stranger = node.account("operator"), node.account("stranger")
    contract = create(node, "StoredSlots", operator)
    offer = bytes(32)
    node.send_all(operator, contract, "openOffer", [(offer, 1, 1, 1, False), (offer, 2, 1, 1, False)])
    node.send_all(operator, contract, "setReserved", [(word, 1) for word in range(600)])
    with pytest.raises(GasBenchError, match="2 of 2 executed, 2 of them failed"):
        node.send_all(stranger, contract, "setReserved", [(0, 1), (1, 1)])


def test_batches_are_consecutive_and_the_last_may_be_shorter() -> None:
    assert [list(part) for part in batches(range(7), 3)] == [[0, 1, 2], [3, 4, 5], [6]]
