"""Clients that send or read slowly, or too much: cut off within their time, while others are answered as ever."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from market.api import connections, guard
from market.chain.embedded import EmbeddedChain
from market.desks.market_client import MarketClient
from market.settings import ApiSettings
from scripts.demo.supervisor import free_port as taken_by_nobody
from tests.chain.world import KEYS, owner_key
from tests.cli.conftest import Room, opened_room

SOON_S = 1.0
WITHIN_S = 15.0
"""Of a busy machine, for what should take a second."""


@pytest.fixture(scope="module")
def room(module_anvil: EmbeddedChain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """One market for all tests of this file: each leaves it as it was."""
    folder = tmp_path_factory.mktemp("market")
    url = f"sqlite:///{folder / 'market.sqlite'}"
    with opened_room(module_anvil, folder, url, ApiSettings(port=taken_by_nobody())) as opened:
        yield opened


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second where the market gives its clients many."""
    for name in ("HEAD_WITHIN_S", "BODY_WITHIN_S", "READ_WITHIN_S"):
        monkeypatch.setattr(connections, name, SOON_S)


def connected(room: Room) -> socket.socket:
    host, port = room.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=WITHIN_S)


def seconds_until_cut(client: socket.socket, drip: bytes, every_s: float = 0.1) -> float:
    """How long the market bears with a client that sends a byte now and then."""
    started = time.monotonic()
    client.settimeout(every_s)
    while time.monotonic() - started < WITHIN_S:
        try:
            client.sendall(drip)
            if client.recv(1024) == b"":
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    else:
        pytest.fail("the market waits for ever")
    return time.monotonic() - started


HEAD = b"GET /v1/market HTTP/1.1\r\nHost: market\r\n"
BODY = b"POST /v1/requests HTTP/1.1\r\nHost: market\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("begun", "drip"),
    [(b"", b"G"), (HEAD, b"X"), (HEAD.replace(b"\r\nHost", b"\r\nContent-Length: 99999\r\nHost") + b"\r\n", b" ")],
    ids=["from its first byte", "in the head", "in a body that nobody asks for"],
)
def test_a_client_that_sends_a_byte_at_a_time_is_cut_off(room: Room, begun: bytes, drip: bytes) -> None:
    with connected(room) as client:
        client.sendall(begun)
        assert seconds_until_cut(client, drip) >= SOON_S * 0.8


@pytest.mark.usefixtures("hasty")
def test_a_client_that_sends_nothing_at_all_is_cut_off(room: Room) -> None:
    with connected(room) as client:
        assert client.recv(1) == b""


@pytest.mark.usefixtures("hasty")
def test_a_second_request_on_a_connection_has_the_same_time(room: Room) -> None:
    with connected(room) as client:
        client.sendall(HEAD + b"\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        time.sleep(SOON_S * 1.5)  # between requests it may rest
        client.sendall(HEAD)
        seconds_until_cut(client, b"X")


def test_a_body_that_comes_too_slowly_is_answered_so(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_WITHIN_S", SOON_S)
    with connected(room) as client:
        client.sendall(BODY + b"{")
        answer = b""
        while b"}" not in answer:
            answer += client.recv(4096)
    head, _, document = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408")
    assert b"application/problem+json" in head
    assert json.loads(document)["type"].endswith("/too-slow")


@pytest.mark.usefixtures("hasty")
def test_a_client_that_does_not_read_its_answers_is_cut_off(room: Room) -> None:
    """It asks on and on for the largest of all documents."""
    with connected(room) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with pytest.raises(ConnectionError):
            _ask_for_ever(client)


def _ask_for_ever(client: socket.socket) -> None:
    started = time.monotonic()
    while time.monotonic() - started < WITHIN_S:
        client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: market\r\n\r\n")
        time.sleep(0.01)


@pytest.mark.slow
def test_two_hundred_slow_clients_hinder_nobody(room: Room) -> None:
    """At the limits that the market really has."""
    slow = [connected(room) for _ in range(200)]
    try:
        for place, client in enumerate(slow):
            client.sendall(BODY + b"{" if place % 2 else HEAD)
        taken: list[float] = []
        with MarketClient(room.url, private_key="0x" + owner_key(0).hex()) as owner:
            for _ in range(20):
                for client in slow:
                    client.sendall(b" ")
                started = time.monotonic()
                assert owner.get("/v1/nanogrids")["items"]
                taken.append(time.monotonic() - started)
        assert sorted(taken)[len(taken) // 2] < 1.0
    finally:
        for client in slow:
            client.close()


def test_a_client_that_hangs_up_in_its_body_is_no_failure_of_the_market(
    room: Room, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else anybody could fill the logs."""
    for _ in range(3):
        with connected(room) as client:
            client.sendall(BODY + b"{")
            time.sleep(0.05)
    assert httpx.get(f"{room.url}/v1/market", timeout=30).status_code == 200
    time.sleep(0.5)
    assert caplog.records == []
    assert "Traceback" not in "".join(capsys.readouterr())


# SIZES


def refused_head(room: Room, head: bytes) -> bytes:
    """What the market says to a head, or nothing where it hangs up."""
    with connected(room) as client:
        try:
            client.sendall(head)
            return client.recv(4096)
        except ConnectionError:
            return b""


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"X-Large: " + b"x" * 2 * connections.MAX_HEAD_BYTES,
        b"GET /" + b"x" * 2 * connections.MAX_HEAD_BYTES,
        HEAD + b"".join(b"X-%d: x\r\n" % number for number in range(10_000)),
    ],
    ids=["a large header", "a long path", "many headers"],
)
def test_a_head_that_is_too_large_is_refused_before_it_ends(room: Room, head: bytes) -> None:
    answer = refused_head(room, head)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


def in_chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 1024):
        yield b" " * 1024


@pytest.mark.parametrize("with_length", [True, False], ids=["that says its size", "in chunks"])
def test_a_body_that_is_too_large_is_refused(room: Room, with_length: bool) -> None:
    size = guard.MAX_BODY_BYTES + 64 * 1024
    content = b" " * size if with_length else in_chunks(size)
    with MarketClient(room.url, private_key="0x" + KEYS["dso"].hex()) as dso:
        dso.sign_in()
        headers = {"Authorization": f"Bearer {dso.token}", "Content-Type": "application/json"}
        answer = httpx.post(f"{room.url}/v1/requests", content=content, headers=headers, timeout=30)
    assert (answer.status_code, answer.json()["type"].rsplit("/", 1)[1]) == (413, "body-too-large")
