"""Behind several nodes: where one does not answer, the next is asked, unless one state is needed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import pytest
from web3 import Web3

from market.chain.embedded import EmbeddedChain, start_anvil
from market.chain.failover import ANSWER_WITHIN_S, WORK_WITHIN_S, one_node
from market.chain.profiles import PROFILES, Profile, connect, rpc, rpc_all
from market.settings import ChainProfile
from scripts.network.validators import Validator
from tests.chain.conftest import ON_NETWORK
from tests.networks import Network

BUSY_S = 5.0
"""What a busy machine may take in addition."""
NOBODY = "0x" + 40 * "1"


class Node(Protocol):
    """One node that a test may do harm to."""

    @property
    def url(self) -> str: ...
    def end(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...


@dataclass(frozen=True)
class EmbeddedNode:
    chain: EmbeddedChain

    @property
    def url(self) -> str:
        return self.chain.rpc_url

    def end(self) -> None:
        self.chain.stop()

    def freeze(self) -> None:
        os.kill(self.chain.process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.chain.process.pid, os.WSTOPPED)  # on a busy machine it goes on for a moment

    def thaw(self) -> None:
        os.kill(self.chain.process.pid, signal.SIGCONT)


@dataclass(frozen=True)
class ValidatorNode:
    validator: Validator

    @property
    def url(self) -> str:
        return self.validator.member.rpc_url

    def end(self) -> None:
        self.validator.kill()

    def freeze(self) -> None:
        self.validator.freeze()

    def thaw(self) -> None:
        self.validator.thaw()


@dataclass(frozen=True)
class Nodes:
    """Two nodes of a chain; the second stays as it is."""

    profile: Profile
    harmed: Node
    other: Node

    def connect(self, *urls: str) -> Web3:
        return connect(",".join(urls), self.profile)

    @property
    def both(self) -> Web3:
        return self.connect(self.harmed.url, self.other.url)


@pytest.fixture
def embedded_nodes(anvil: EmbeddedChain, free_ports: Callable[[], int]) -> Iterator[Nodes]:
    """Two nodes that know nothing of each other: which one has answered is seen by the height."""
    with start_anvil(free_ports()) as harmed:
        nodes = Nodes(PROFILES[ChainProfile.EMBEDDED], EmbeddedNode(harmed), EmbeddedNode(anvil))
        for _ in range(5):
            harmed.request("evm_mine")
        yield nodes


@pytest.fixture
def network_nodes(network: Network) -> Iterator[Nodes]:
    """Two of five validators."""
    harmed, other = (ValidatorNode(network.validators[name]) for name in ("auditor", "operator"))
    yield Nodes(PROFILES[ChainProfile.NETWORK], harmed, other)
    network.all_up()


@pytest.fixture(params=["embedded", pytest.param("network", marks=ON_NETWORK)])
def nodes(request: pytest.FixtureRequest) -> Nodes:
    found: Nodes = request.getfixturevalue(f"{request.param}_nodes")
    return found


@pytest.fixture
def frozen(nodes: Nodes) -> Iterator[Nodes]:
    """The first node is there, takes connections and answers nothing."""
    nodes.harmed.freeze()
    yield nodes
    nodes.harmed.thaw()


def dead(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def height(web3: Web3) -> int:
    return int(rpc(web3, "eth_blockNumber"), 16)


def test_the_first_node_that_answers_is_asked(nodes: Nodes, free_port: int) -> None:
    web3 = nodes.connect(dead(free_port), nodes.other.url)
    assert web3.eth.chain_id == nodes.connect(nodes.other.url).eth.chain_id
    asked = [(NOBODY, "latest"), ("0x" + 40 * "2", "latest")]
    assert rpc_all(web3, "eth_getBalance", asked) == ["0x0", "0x0"]


def test_a_node_that_ends_is_left_for_the_next(nodes: Nodes) -> None:
    web3 = nodes.both
    assert height(web3) == height(nodes.connect(nodes.harmed.url))
    nodes.harmed.end()
    assert height(web3) == height(nodes.connect(nodes.other.url))


@pytest.mark.parametrize("work", [False, True], ids=["question", "work"])
def test_a_node_that_hangs_costs_a_few_seconds_once(frozen: Nodes, work: bool) -> None:
    """Work is waited for longer; but a node that was not heard of for a while is asked first whether it is there."""
    web3 = frozen.both
    started = time.monotonic()
    if work:
        assert rpc(web3, "eth_call", {"to": NOBODY}, "latest") == "0x"
    else:
        assert height(web3) == height(frozen.connect(frozen.other.url))
    assert ANSWER_WITHIN_S <= time.monotonic() - started < ANSWER_WITHIN_S + BUSY_S
    started = time.monotonic()
    assert height(web3) == height(frozen.connect(frozen.other.url))
    assert time.monotonic() - started < ANSWER_WITHIN_S


def test_a_node_that_hangs_in_the_midst_of_work_is_left_too(nodes: Nodes) -> None:
    web3 = nodes.both
    height(web3)
    nodes.harmed.freeze()
    started = time.monotonic()
    try:
        assert rpc(web3, "eth_call", {"to": NOBODY}, "latest") == "0x"
        assert time.monotonic() - started < WORK_WITHIN_S + BUSY_S
    finally:
        nodes.harmed.thaw()


def test_where_none_answers_it_is_said(free_ports: Callable[[], int]) -> None:
    with pytest.raises(OSError, match="refused"):
        height(connect(f"{dead(free_ports())},{dead(free_ports())}", PROFILES[ChainProfile.NETWORK]))


def test_what_needs_one_state_is_not_answered_by_two_nodes(nodes: Nodes, free_port: int) -> None:
    web3 = nodes.connect(dead(free_port), nodes.other.url)
    with one_node(web3), pytest.raises(OSError, match="refused"):
        height(web3)
    with one_node(web3):  # from the start at the next one
        assert height(web3) >= 0
