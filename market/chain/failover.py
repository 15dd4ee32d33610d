"""Several nodes of one chain behind one client: where one does not answer, the next is asked, and stays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog
from web3 import HTTPProvider, Web3
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

log = structlog.get_logger(__name__)

_Answer = TypeVar("_Answer")


class FailoverProvider(JSONBaseProvider):
    """Asks the node that answered last, and goes on to the next where it does not answer.

    Every call may be asked twice: a transaction is the same bytes, which a chain takes once.
    """

    def __init__(self, urls: Sequence[str], request: Mapping[str, Any]) -> None:
        """`request`: keywords of each HTTP request."""
        super().__init__()
        # No retries at one node: the next one is the retry.
        self._nodes = [
            HTTPProvider(url, request_kwargs=dict(request), exception_retry_configuration=None) for url in urls
        ]
        self._current = 0
        self._pinned = threading.local()

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        return self._ask(lambda node: node.make_request(method, params))

    def make_batch_request(self, requests: list[tuple[RPCEndpoint, Any]]) -> list[RPCResponse] | RPCResponse:
        return self._ask(lambda node: node.make_batch_request(requests))

    @contextmanager
    def one_node(self) -> Iterator[None]:
        """This thread asks one node only; where it does not answer, OSError, and the next call asks another."""
        self._pinned.is_set = True
        try:
            yield
        finally:
            self._pinned.is_set = False

    def _ask(self, call: Callable[[HTTPProvider], _Answer]) -> _Answer:
        tries = 1 if getattr(self._pinned, "is_set", False) else len(self._nodes)
        while True:
            place = self._current
            try:
                return call(self._nodes[place])
            except OSError as error:
                tries -= 1
                log.warning("a node does not answer", node=str(self._nodes[place].endpoint_uri), why=str(error))
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
