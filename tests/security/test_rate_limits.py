"""How often each may call, and how many may listen: told by 429 with the time to wait, and nobody else waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.api.admission import network_of
from market.api.rate_limits import Buckets, Rate
from market.chain.embedded import EmbeddedChain
from market.desks.market_client import MarketClient
from market.settings import ApiSettings
from tests.chain.world import owner_key
from tests.cli.conftest import Room, opened_room

ATTEMPTS = 12
FEW = {"calls_per_s": 0.5, "calls_at_once": 5}
FEW_OF_AN_ADDRESS = {"address_calls_per_s": 0.5, "address_calls_at_once": 5}


# THE BUCKET


class PlainBucket:
    """What a bucket is: tokens that grow with time."""

    def __init__(self, rate: Rate) -> None:
        self.rate, self.tokens, self.at_s = rate, float(rate.burst), 0.0

    def take(self, now_s: float) -> bool:
        self.tokens = min(self.rate.burst, self.tokens + (now_s - self.at_s) * self.rate.per_s)
        self.at_s = now_s
        if self.tokens < 1 - 1e-9:
            return False
        self.tokens -= 1
        return True


@given(
    per_s=st.sampled_from([0.25, 1.0, 8.0]),
    burst=st.integers(1, 6),
    pauses=st.lists(st.sampled_from([0.0, 0.125, 0.5, 1.0, 4.0, 30.0]), max_size=40),
)
def test_a_bucket_admits_what_a_plain_one_does(per_s: float, burst: int, pauses: list[float]) -> None:
    rate, now_s = Rate(per_s, burst), 0.0
    buckets, plain = Buckets(rate), PlainBucket(rate)
    for pause in pauses:
        now_s += pause
        assert (buckets.take("one", now_s) == 0) is plain.take(now_s)


@given(st.integers(1, 5), st.integers(1, 30))
def test_whoever_waits_as_long_as_it_is_told_is_admitted_and_not_before(burst: int, calls: int) -> None:
    buckets = Buckets(Rate(2, burst))
    wait_s = [buckets.take("one", 0.0) for _ in range(burst + calls)][-1]
    assert buckets.take("one", wait_s * 0.99) > 0
    assert buckets.take("one", wait_s) == 0


def test_callers_have_buckets_of_their_own_and_no_more_than_so_many_are_kept() -> None:
    buckets = Buckets(Rate(1, 1), most_kept=3)
    assert [buckets.take(name, 0.0) for name in "abc"] == [0, 0, 0]
    assert buckets.take("a", 0.0) > 0
    assert buckets.take("d", 0.0) == 0
    assert len(buckets._full_at_s) == 3


@pytest.mark.parametrize("rate", [(0, 1), (-1, 1), (1, 0)])
def test_a_rate_that_admits_nobody_is_none(rate: tuple[float, int]) -> None:
    with pytest.raises(ValueError, match="a rate needs"):
        Rate(*rate)


def test_an_ipv6_network_is_one_caller_and_an_ipv4_address_too() -> None:
    assert network_of("2001:db8:1:2::7") == network_of("2001:db8:1:2:ffff::1") != network_of("2001:db8:1:3::7")
    assert network_of("192.0.2.1") == network_of("::ffff:192.0.2.1") != network_of("192.0.2.2")


# THE MARKET


@pytest.fixture
def opened(anvil: EmbeddedChain, tmp_path: Path, free_port: int):
    """Opens a market with limits of a test's own."""

    @contextmanager
    def open_with(**limits: object) -> Iterator[Room]:
        api = ApiSettings(port=free_port, **limits)  # type: ignore[arg-type]
        with opened_room(anvil, tmp_path, f"sqlite:///{tmp_path / 'market.sqlite'}", api) as room:
            yield room

    return open_with


def statuses(room: Room, path: str = "/v1/market", **headers: str) -> list[int]:
    with httpx.Client(base_url=room.url, headers=headers, timeout=30) as http:
        return [http.get(path).status_code for _ in range(ATTEMPTS)]


def bearer(room: Room, index: int) -> str:
    with MarketClient(room.url, private_key="0x" + owner_key(index).hex()) as client:
        client.sign_in()
        return f"Bearer {client.token}"


def test_a_caller_that_calls_too_often_is_told_when_to_call_again_and_others_are_not_hindered(opened) -> None:
    with opened(**FEW) as room:
        first, second, other = bearer(room, 0), bearer(room, 0), bearer(room, 1)
        assert statuses(room, "/v1/nanogrids", Authorization=first) == [200] * 5 + [429] * (ATTEMPTS - 5)
        refused = httpx.get(f"{room.url}/v1/nanogrids", headers={"Authorization": second})
        assert refused.status_code == 429, "another session of the same wallet is the same caller"
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["type"].endswith("/too-many-requests")
        assert statuses(room, "/v1/nanogrids", Authorization=other)[0] == 200
        time.sleep(int(refused.headers["Retry-After"]))
        assert httpx.get(f"{room.url}/v1/nanogrids", headers={"Authorization": first}).status_code == 200


def test_an_address_that_calls_too_often_waits_whoever_it_says_it_is(opened) -> None:
    with opened(**FEW_OF_AN_ADDRESS) as room:
        with httpx.Client(base_url=room.url) as http:
            answers = [
                http.get(
                    "/v1/nanogrids", headers={"Authorization": f"Bearer {place}", "X-Forwarded-For": f"192.0.2.{place}"}
                )
                for place in range(ATTEMPTS)
            ]
        assert [answer.status_code for answer in answers] == [401] * 5 + [429] * (ATTEMPTS - 5)
        assert int(answers[-1].headers["Retry-After"]) >= 1


def test_what_a_proxy_says_of_its_callers_is_believed_where_a_setting_names_it(opened) -> None:
    with opened(trusted_proxies="127.0.0.1", **FEW_OF_AN_ADDRESS) as room:
        with httpx.Client(base_url=room.url) as http:
            callers = [f"192.0.2.{place}" for place in range(ATTEMPTS)]
            answers = [http.get("/v1/market", headers={"X-Forwarded-For": each}).status_code for each in callers]
            assert answers == [200] * ATTEMPTS
            # What the caller itself has written stands further left: the proxy adds the address that it sees.
            one = [
                http.get("/v1/market", headers={"X-Forwarded-For": f"{each}, 198.51.100.1"}).status_code
                for each in callers
            ]
        assert one == [200] * 5 + [429] * (ATTEMPTS - 5)


def test_a_proxy_elsewhere_is_not_believed(opened) -> None:
    with opened(trusted_proxies="192.0.2.0/24", **FEW_OF_AN_ADDRESS) as room, httpx.Client(base_url=room.url) as http:
        headers = [{"X-Forwarded-For": f"198.51.100.{place}"} for place in range(ATTEMPTS)]
        assert [http.get("/v1/market", headers=each).status_code for each in headers][-1] == 429


def test_an_address_has_so_many_listeners_and_a_place_is_free_when_one_leaves(opened) -> None:
    with opened(streams_per_address=3) as room, ExitStack() as listening, httpx.Client(timeout=30) as http:

        def listen() -> httpx.Response:
            return listening.enter_context(http.stream("GET", f"{room.url}/v1/stream"))

        listeners = [listen() for _ in range(3)]
        assert [each.status_code for each in listeners] == [200] * 3
        refused = listen()
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
        assert httpx.get(f"{room.url}/v1/market").status_code == 200
        listeners[0].close()
        ends_at = time.monotonic() + 20
        while (again := listen()).status_code == 429 and time.monotonic() < ends_at:
            time.sleep(0.1)
        assert again.status_code == 200


def test_all_together_have_so_many_listeners(opened) -> None:
    with opened(streams=2, trusted_proxies="127.0.0.1") as room, ExitStack() as listening:
        http = listening.enter_context(httpx.Client(timeout=30))
        answers = [
            listening.enter_context(
                http.stream("GET", f"{room.url}/v1/stream", headers={"X-Forwarded-For": f"192.0.2.{place}"})
            ).status_code
            for place in range(3)
        ]
        assert answers == [200, 200, 429]
