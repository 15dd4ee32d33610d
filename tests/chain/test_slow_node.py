"""A node that is slow for long ranges of events is asked for shorter ones, and everything is taken in all the same."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from market.chain.bindings import Contracts
from market.chain.embedded import EmbeddedChain
from market.chain.indexer import Indexer
from market.chain.profiles import PROFILES, connect
from market.settings import ChainProfile
from market.store.database import migrate, open_engine
from tests.chain.rows import projections
from tests.chain.world import World

WORK_WITHIN_S = 1.0
BLOCKS = 2_000
QUICK_BLOCKS = 500
"""Ranges up to this one are answered at once."""


@dataclass
class SlowNode:
    """A real node behind a door that holds back the answer to a long range."""

    url: str
    asked: list[int] = field(default_factory=list)

    def serve(self) -> ThreadingHTTPServer:
        node = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                node.hold_back(json.loads(body))
                request = urllib.request.Request(node.url, data=body, headers={"Content-Type": "application/json"})
                with urllib.request.urlopen(request, timeout=30) as answer:
                    said = answer.read()
                with suppress(BrokenPipeError):  # who asked has lost patience
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(said)))
                    self.end_headers()
                    self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                return

        return ThreadingHTTPServer(("127.0.0.1", 0), Door)

    def hold_back(self, call: dict[str, object]) -> None:
        if call["method"] != "eth_getLogs":
            return
        (query,) = call["params"]  # type: ignore[misc]
        blocks = int(query["toBlock"], 16) - int(query["fromBlock"], 16) + 1
        self.asked.append(blocks)
        if blocks > QUICK_BLOCKS:
            time.sleep(2 * WORK_WITHIN_S)


@pytest.fixture
def slow(anvil: EmbeddedChain) -> Iterator[tuple[SlowNode, str]]:
    node = SlowNode(anvil.rpc_url)
    server = node.serve()
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield node, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join()
    server.server_close()


def test_a_node_too_slow_for_a_long_range_is_asked_for_shorter_ones(
    anvil: EmbeddedChain, slow: tuple[SlowNode, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("market.chain.failover.WORK_WITHIN_S", WORK_WITHIN_S)
    world = World.build(anvil, f"sqlite:///{tmp_path / 'quick.sqlite'}")
    world.register()
    anvil.request("anvil_mine", hex(BLOCKS))
    world.indexer.index_now()
    node, url = slow
    profile = PROFILES[ChainProfile.EMBEDDED]
    contracts = Contracts(connect(f"{url},{url}", profile), world.contracts.deployment, profile)
    database = f"sqlite:///{tmp_path / 'slow.sqlite'}"
    migrate(database)
    engine = open_engine(database)
    assert Indexer(contracts, engine).index_now() == world.indexer.index_now()
    assert projections(engine) == projections(world.engine)
    assert max(node.asked) > BLOCKS
    assert min(node.asked) <= QUICK_BLOCKS
    engine.dispose()
    world.engine.dispose()
