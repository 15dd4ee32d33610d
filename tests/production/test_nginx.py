"""nginx before a real market: TLS, limits for each address, bodies, slow clients, and streams as they come."""

from __future__ import annotations

import http.server
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from market.api.guard import MAX_BODY_BYTES
from market.chain.sender import RECEIPT_WITHIN_S
from market.domain.problems import PROBLEM_TYPE
from tests.production.conftest import Running
from tests.production.proxy import CONFIGURATION, HOST, Proxy, nginx

pytestmark = [pytest.mark.alone, pytest.mark.processes, pytest.mark.slow]


@pytest.fixture
def proxy(running: Running, tmp_path: Path) -> Iterator[Proxy]:
    """nginx of this test, whose limits nobody has used yet."""
    with nginx(tmp_path, running.market_url.removeprefix("http://")) as started:
        yield started


def directive(name: str) -> str:
    found = re.search(rf"^\s*{name} ([^;]+);", CONFIGURATION.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, name
    return found[1]


def handshake(proxy: Proxy, trust: ssl.SSLContext, name: str = HOST) -> ssl.SSLSocket:
    """A TLS connection, as far as it comes about."""
    plain = socket.create_connection(("127.0.0.1", proxy.port), timeout=40)
    try:
        return trust.wrap_socket(plain, server_hostname=name)
    except ssl.SSLError:
        plain.close()
        raise


@contextmanager
def raw(proxy: Proxy) -> Iterator[ssl.SSLSocket]:
    """A TLS connection on which the test writes what it likes."""
    with handshake(proxy, proxy.trust) as connection:
        yield connection


def test_the_market_answers_over_tls_with_what_browsers_need_to_stay_there(proxy: Proxy) -> None:
    with proxy.client() as client:
        answer = client.get("/v1/market")
        assert answer.status_code == 200
        assert answer.json()["chain_id"] == 31337
        assert answer.headers["strict-transport-security"] == "max-age=63072000"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert client.get("/").status_code == 200


def test_plain_http_is_sent_to_https_and_keeps_its_method(proxy: Proxy) -> None:
    answer = httpx.post(f"http://127.0.0.1:{proxy.plain_port}/v1/auth/nonce", headers={"Host": HOST})
    assert answer.status_code == 308
    assert answer.headers["location"] == f"https://{HOST}/v1/auth/nonce"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(proxy: Proxy, version: ssl.TLSVersion) -> None:
    trust = proxy.trust
    trust.minimum_version = trust.maximum_version = version
    with handshake(proxy, trust) as connection:
        assert connection.version() == version.name.replace("_", ".")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_older_tls_and_foreign_names_get_no_handshake(proxy: Proxy) -> None:
    old = proxy.trust
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    for trust, name, answer in (
        (old, HOST, "PROTOCOL_VERSION"),
        (proxy.trust, "elsewhere.example", "UNRECOGNIZED_NAME"),
    ):
        with pytest.raises(ssl.SSLError, match=answer):
            handshake(proxy, trust, name)


@pytest.mark.parametrize(
    ("method", "path", "zone"),
    [("POST", "/v1/auth/nonce", "sign_in"), ("POST", "/v1/enrolments", "enrolment"), ("GET", "/v1/market", "api")],
)
def test_one_address_may_not_ask_for_more_than_its_zone_allows(proxy: Proxy, method: str, path: str, zone: str) -> None:
    burst = int(re.search(rf"limit_req zone={zone} burst=(\d+)", CONFIGURATION.read_text("utf-8"))[1])  # type: ignore[index]
    with proxy.client() as client:
        body = {} if method == "POST" else None
        answers = [client.request(method, path, json=body) for _ in range(2 * burst + 10)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert all(answer.status_code != 429 for answer in answers[:burst]), "a burst is allowed"
        assert refused, "more is not"
        assert refused[0].headers["content-type"] == "application/problem+json"
        assert refused[0].headers["retry-after"] == "5"
        assert refused[0].json()["type"] == f"{PROBLEM_TYPE}too-many-requests"
        if zone != "api":
            assert client.get("/v1/market").status_code == 200, "other zones go on"


def test_the_limit_of_a_body_is_the_apis_own(proxy: Proxy) -> None:
    assert directive("client_max_body_size") == f"{MAX_BODY_BYTES // 1024}k"
    assert MAX_BODY_BYTES % 1024 == 0
    headers = {"Content-Type": "application/json"}
    with proxy.client() as client:
        too_much = client.post("/v1/requests", content=b" " * (MAX_BODY_BYTES + 1), headers=headers)
        assert too_much.status_code == 413
        assert too_much.json()["type"] == f"{PROBLEM_TYPE}body-too-large"
        assert f"At most {MAX_BODY_BYTES} bytes." in too_much.json()["detail"]
        just_right = client.post("/v1/requests", content=b" " * MAX_BODY_BYTES, headers=headers)
        assert just_right.status_code in {400, 401, 422}, "it reached the market"


def test_events_come_through_as_they_happen_and_not_in_a_lump(proxy: Proxy) -> None:
    """The market pings every 15 s: a proxy that collects 4 KiB first would keep that for an hour."""
    with proxy.client() as client, client.stream("GET", "/v1/stream", timeout=25) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        first = next(answer.iter_bytes())
    assert b"ping" in first


def test_a_client_that_dribbles_its_header_or_its_body_is_cut_off(proxy: Proxy) -> None:
    patience_s = int(directive("client_header_timeout").removesuffix("s"))
    assert int(directive("client_body_timeout").removesuffix("s")) == patience_s
    started = time.monotonic()
    with raw(proxy) as header, raw(proxy) as body:
        header.sendall(b"GET /v1/market HT")
        body.sendall(
            f"POST /v1/requests HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
            "Content-Length: 1000\r\n\r\n{".encode()
        )
        with proxy.client() as other:
            assert other.get("/v1/market").status_code == 200, "nobody waits for them"
        for slow in (header, body):
            while _is_open(slow):
                assert time.monotonic() - started < patience_s + 10
    assert time.monotonic() - started >= patience_s - 1


def _is_open(connection: ssl.SSLSocket) -> bool:
    try:
        return bool(connection.recv(4096))
    except (ConnectionResetError, ssl.SSLError):
        return False


def test_what_watches_the_market_is_not_for_the_world(proxy: Proxy) -> None:
    with proxy.client() as client:
        assert client.get("/metrics").status_code == 404
        assert client.get("/health/ready").status_code == 404
        assert client.get("/health/live").status_code == 200


def test_the_market_is_told_the_address_that_nginx_sees_not_the_one_that_a_client_claims(tmp_path: Path) -> None:
    seen: list[dict[str, str]] = []

    class Upstream(http.server.BaseHTTPRequestHandler):
        """Tells what it was sent."""

        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on the test's own output."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as upstream:
        thread = threading.Thread(target=upstream.serve_forever, daemon=True)
        thread.start()
        with nginx(tmp_path, f"127.0.0.1:{upstream.server_port}") as proxy, proxy.client() as client:
            client.get("/v1/market", headers={"X-Forwarded-For": "10.9.9.9", "X-Forwarded-Proto": "http"})
        upstream.shutdown()
    assert seen[0]["x-forwarded-for"] == "127.0.0.1"
    assert seen[0]["x-forwarded-proto"] == "https"
    assert seen[0]["host"] == HOST


def test_one_address_may_not_listen_to_any_number_of_streams(proxy: Proxy) -> None:
    most = int(directive("limit_conn streams").strip())
    with ExitStack() as stack:
        clients = [stack.enter_context(proxy.client()) for _ in range(most + 1)]
        answers = [stack.enter_context(client.stream("GET", "/v1/stream", timeout=25)) for client in clients]
        assert [answer.status_code for answer in answers] == [200] * most + [429]


def test_a_market_that_is_away_is_said_as_a_problem_that_passes(tmp_path: Path, free_port: int) -> None:
    with nginx(tmp_path, f"127.0.0.1:{free_port}") as proxy, proxy.client() as client:
        answer = client.get("/v1/market")
    assert answer.status_code == 503
    assert answer.json()["type"] == f"{PROBLEM_TYPE}market-away"
    assert answer.headers["retry-after"]


def test_the_log_has_one_json_object_for_each_call_and_no_query(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.get("/v1/market", params={"secret": "value"}, headers={"Authorization": "Bearer mg_token"})
    deadline = time.monotonic() + 5
    log = proxy.folder / "access.log"
    while not log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    line = json.loads(log.read_text().splitlines()[0])
    assert (line["path"], line["status"], line["address"]) == ("/v1/market", 200, "127.0.0.1")
    assert "secret" not in log.read_text()
    assert "mg_token" not in log.read_text()


def test_the_proxy_waits_longer_than_the_market_waits_for_the_chain() -> None:
    assert int(directive("proxy_read_timeout").removesuffix("s")) > RECEIPT_WITHIN_S + 15
