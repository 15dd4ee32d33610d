"""Several nodes of one chain behind one client: where one does not answer, the next is asked, and stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import structlog
from web3 import HTTPProvider, Web3
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

log = structlog.get_logger(__name__)

_Answer = TypeVar("_Answer")

ANSWER_WITHIN_S: Final = 3.0
"""A node that does not answer for so long is left for the next [s]: it hangs, or is cut off."""
WORK_WITHIN_S: Final = 12.0
"""As ANSWER_WITHIN_S for calls by which a node has to run code or to read a long range, and for many calls at once."""
_WORK: Final = frozenset({"eth_call", "eth_estimateGas", "eth_getLogs"})
_SURELY_THERE_S: Final = 1.0
"""A node that has answered this lately is given work without being asked first whether it is there [s]."""


class _Node:
    """One node, asked with the patience that a call needs."""

    def __init__(self, url: str) -> None:
        self.url = url
        # No retries at one node: the next one is the retry.
        self._quick, self._patient = (
            HTTPProvider(url, request_kwargs={"timeout": within_s}, exception_retry_configuration=None)
            for within_s in (ANSWER_WITHIN_S, WORK_WITHIN_S)
        )
        self._answered_s = float("-inf")

    def ask(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        if method in _WORK:
            return self._work(lambda: self._patient.make_request(method, params))
        return self._answered(lambda: self._quick.make_request(method, params))

    def ask_all(self, requests: list[tuple[RPCEndpoint, Any]]) -> list[RPCResponse] | RPCResponse:
        return self._work(lambda: self._patient.make_batch_request(requests))

    def _work(self, call: Callable[[], _Answer]) -> _Answer:
        # One that hangs is found out by a quick question: work would be waited for longer.
        if time.monotonic() - self._answered_s > _SURELY_THERE_S:
            self._answered(lambda: self._quick.make_request(RPCEndpoint("eth_chainId"), []))
        return self._answered(call)

    def _answered(self, call: Callable[[], _Answer]) -> _Answer:
        answer = call()
        self._answered_s = time.monotonic()
        return answer


class FailoverProvider(JSONBaseProvider):
    """Asks the node that answered last, and goes on to the next where it does not answer.

    Every call may be asked twice: a transaction is the same bytes, which a chain takes once.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        super().__init__()
        self._nodes = [_Node(url) for url in urls]
        self._current = 0
        self._pinned = threading.local()

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        return self._ask(lambda node: node.ask(method, params))

    def make_batch_request(self, requests: list[tuple[RPCEndpoint, Any]]) -> list[RPCResponse] | RPCResponse:
        return self._ask(lambda node: node.ask_all(requests))

    @contextmanager
    def one_node(self) -> Iterator[None]:
        """This thread asks one node only; where it does not answer, OSError, and the next call asks another."""
        self._pinned.is_set = True
        try:
            yield
        finally:
            self._pinned.is_set = False

    def _ask(self, call: Callable[[_Node], _Answer]) -> _Answer:
        tries = 1 if getattr(self._pinned, "is_set", False) else len(self._nodes)
        while True:
            place = self._current
            try:
                return call(self._nodes[place])
            except OSError as error:
                tries -= 1
                log.warning("a node does not answer", node=self._nodes[place].url, why=str(error))
                if place == self._current:  # else another thread has gone on already
                    self._current = (place + 1) % len(self._nodes)
                if not tries:
                    raise


@contextmanager
def one_node(web3: Web3) -> Iterator[None]:
    """Calls that must see one state: behind several nodes, the next one could lag behind the first."""
    if isinstance(web3.provider, FailoverProvider):
        with web3.provider.one_node():
            yield
    else:
        yield
