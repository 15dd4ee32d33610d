"""The desks' client of the market: patient, signed in again when need be, harmless when it repeats itself."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import httpx
import pytest

from market.desks.market_client import MarketClient, MarketProblem, MarketUnavailable
from tests.chain.world import KEYS
from tests.cli.conftest import Room

KEY = "0x" + KEYS["dso"].hex()


def test_a_client_signs_in_again_when_its_session_has_ended(room: Room) -> None:
    with MarketClient(room.url, private_key=KEY, patience_s=5) as client:
        assert client.get("/v1/nanogrids")["items"]
        first = client.token
        room.world.at(room.world.now_s + 13 * 3600)
        assert client.get("/v1/nanogrids")["items"]
        assert client.token != first


def test_an_api_key_that_is_refused_is_not_tried_again(room: Room) -> None:
    with MarketClient(room.url, api_key="mg_nothing", patience_s=5) as client, pytest.raises(MarketProblem) as refused:
        client.get("/v1/nanogrids")
    assert refused.value.status == 401


def test_a_problem_tells_everything_that_is_wrong(room: Room) -> None:
    with MarketClient(room.url, private_key=KEY, patience_s=5) as client, pytest.raises(MarketProblem) as refused:
        client.post("/v1/api-keys", {"label": "", "scopes": []})
    assert {"/label", "/scopes"} <= {error["pointer"] for error in refused.value.problem["errors"]}
    assert "/label" in refused.value.describe()


class _Flaky(http.server.BaseHTTPRequestHandler):
    """A market that is away a few times and remembers what it was asked."""

    faults: ClassVar[list[int]] = []
    asked: ClassVar[list[tuple[str, Any]]] = []
    retry_after: ClassVar[str | None] = None

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.headers["Idempotency-Key"], json.loads(body)))
        self.send_response(self.faults.pop(0) if self.faults else 200)
        self.send_header("Content-Type", "application/json")
        if self.retry_after is not None:
            self.send_header("Retry-After", self.retry_after)
        self.end_headers()
        self.wfile.write(b'{"done": true}')

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def flaky() -> Iterator[str]:
    _Flaky.faults, _Flaky.asked, _Flaky.retry_after = [], [], None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Flaky)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_passing_faults_are_outwaited_under_the_same_key(flaky: str) -> None:
    _Flaky.faults[:] = [503, 502]
    with MarketClient(flaky, api_key="mg_x", patience_s=10) as client:
        assert client.post("/v1/x", {"b": 1, "a": 2}) == {"done": True}
    assert len(_Flaky.asked) == 3
    assert len({key for key, _ in _Flaky.asked}) == 1
    assert all(body == {"a": 2, "b": 1} for _, body in _Flaky.asked)


def test_the_patience_ends(flaky: str, free_port: int) -> None:
    _Flaky.faults[:] = [503] * 100
    with MarketClient(flaky, api_key="mg_x", patience_s=0.3) as client, pytest.raises(MarketUnavailable):
        client.post("/v1/x", {})
    with (
        MarketClient(f"http://127.0.0.1:{free_port}", api_key="mg_x", patience_s=0.3) as client,
        pytest.raises(httpx.ConnectError),
    ):
        client.get("/v1/x")


def test_a_market_that_asks_for_a_pause_is_given_it(flaky: str) -> None:
    _Flaky.faults[:] = [429]
    _Flaky.retry_after = "1"
    started = time.monotonic()
    with MarketClient(flaky, api_key="mg_x", patience_s=10) as client:
        assert client.post("/v1/x", {}) == {"done": True}
    assert len(_Flaky.asked) == 2
    assert time.monotonic() - started >= 1
