"""The market behind its HTTP server, and callers of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from market.desks.market_client import MarketClient
from tests.chain.world import KEYS, owner_key
from tests.cli.conftest import Room, room, room_broker, room_database_url

__all__ = ["room", "room_broker", "room_database_url"]

Caller = Callable[[str], MarketClient]


@pytest.fixture
def caller(room: Room) -> Iterator[Caller]:
    """A client that is signed in as an actor ("dso", "owner-1"), or nobody ("")."""
    opened: list[MarketClient] = []

    def open_for(name: str) -> MarketClient:
        kind, _, index = name.partition("-")
        key = None if not name else owner_key(int(index)) if index else KEYS[kind]
        client = MarketClient(room.url, private_key=None if key is None else "0x" + key.hex(), patience_s=5)
        opened.append(client)
        return client

    yield open_for
    for client in opened:
        client.close()


@pytest.fixture
def http(room: Room) -> Iterator[httpx.Client]:
    """A bare HTTP client of the market."""
    with httpx.Client(base_url=room.url, timeout=30) as client:
        yield client
