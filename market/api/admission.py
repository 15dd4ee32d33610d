"""Who is let in at all, before any route: each address so often, and so many listeners to the stream.

Each process counts for itself, in real time: behind n processes a caller gets up to n times as much.
"""

from __future__ import annotations

import ipaddress
import time
from collections import Counter
from typing import Final

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from market.api.problems import problem_of, problem_response
from market.api.rate_limits import Buckets, Rate, TooManyCalls
from market.settings import ApiSettings

STREAM_PATH: Final = "/v1/stream"
_IPV6_NETWORK_BITS: Final = 64
"""Whoever has one IPv6 address has all of its network."""
_STREAM_WAIT_S: Final = 30


def install(app: FastAPI, limits: ApiSettings) -> None:
    """Admit callers within the limits only; the last middleware that is installed is asked first."""
    app.state.principals = Principals(limits)
    app.add_middleware(_Admission, limits=limits)


class Principals:
    """How often each signed-in caller may call, whatever address it calls from and whichever token it uses."""

    def __init__(self, limits: ApiSettings) -> None:
        self._buckets = Buckets(Rate(limits.calls_per_s, limits.calls_at_once))

    def admit(self, address: str) -> None:
        """Raises TooManyCalls."""
        wait_s = self._buckets.take(address, time.monotonic())
        if wait_s:
            raise TooManyCalls(address, wait_s)


class _Admission:
    def __init__(self, app: ASGIApp, limits: ApiSettings) -> None:
        self._app = app
        self._limits = limits
        self._buckets = Buckets(Rate(limits.address_calls_per_s, limits.address_calls_at_once))
        self._streams: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address = network_of(scope["client"][0] if scope.get("client") else "")
        wait_s = self._buckets.take(address, time.monotonic())
        if wait_s:
            await _refuse(TooManyCalls("Your address", wait_s), scope, receive, send)
        elif scope["path"] == STREAM_PATH:
            await self._listen(address, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _listen(self, address: str, scope: Scope, receive: Receive, send: Send) -> None:
        limits = self._limits
        if self._streams[address] >= limits.streams_per_address or self._streams.total() >= limits.streams:
            await _refuse(
                TooManyCalls("The stream has enough listeners: another one", _STREAM_WAIT_S), scope, receive, send
            )
            return
        self._streams[address] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._streams[address] -= 1
            if not self._streams[address]:
                del self._streams[address]


def network_of(address: str) -> str:
    """What is counted as one caller: an IPv4 address, or the network of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address  # of a socket that is no network's
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, _IPV6_NETWORK_BITS), strict=False))


async def _refuse(refusal: TooManyCalls, scope: Scope, receive: Receive, send: Send) -> None:
    await problem_response(problem_of(refusal))(scope, receive, send)
