"""Behind several nodes: where one does not answer, the next is asked, unless one state is needed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from market.chain.embedded import EmbeddedChain, start_anvil
from market.chain.failover import one_node
from market.chain.profiles import PROFILES, connect, rpc, rpc_all
from market.settings import ChainProfile

EMBEDDED = PROFILES[ChainProfile.EMBEDDED]


def dead(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def test_the_first_node_that_answers_is_asked(anvil: EmbeddedChain, free_port: int) -> None:
    web3 = connect(f"{dead(free_port)}, {anvil.rpc_url}", EMBEDDED)
    assert web3.eth.chain_id == 31337
    accounts = web3.eth.accounts
    assert len(rpc_all(web3, "eth_getBalance", [(account, "latest") for account in accounts])) == len(accounts)


def test_a_node_that_ends_is_left_for_the_next(anvil: EmbeddedChain, free_ports: Callable[[], int]) -> None:
    with start_anvil(free_ports()) as other:
        web3 = connect(f"{other.rpc_url},{anvil.rpc_url}", EMBEDDED)
        for _ in range(5):
            rpc(web3, "evm_mine")
        assert rpc(web3, "eth_blockNumber") != rpc(connect(anvil.rpc_url, EMBEDDED), "eth_blockNumber")
    assert rpc(web3, "eth_blockNumber") == rpc(connect(anvil.rpc_url, EMBEDDED), "eth_blockNumber")


def test_where_none_answers_it_is_said(free_ports: Callable[[], int]) -> None:
    with pytest.raises(OSError, match="refused"):
        rpc(connect(f"{dead(free_ports())},{dead(free_ports())}", EMBEDDED), "eth_blockNumber")


def test_what_needs_one_state_is_not_answered_by_two_nodes(anvil: EmbeddedChain, free_port: int) -> None:
    web3 = connect(f"{dead(free_port)},{anvil.rpc_url}", EMBEDDED)
    with one_node(web3), pytest.raises(OSError, match="refused"):
        rpc(web3, "eth_blockNumber")
    with one_node(web3):  # from the start at the next one
        assert int(rpc(web3, "eth_blockNumber"), 16) >= 0
