"""Desks at a real market on a real chain, with a real grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from market.desks.desk import Desk
from market.desks.market_client import MarketClient
from market.desks.node_grid import NodeGrid
from market.grid.forecasts import NodeForecast, PointForecast
from market.grid.network import load_network
from market.grid.powerflow import PowerFlow
from market.store.database import session_scope
from market.store.facts import Baseline
from tests.chain.world import KEYS, PORTFOLIO, U, nanogrid
from tests.cli.conftest import Room, room, room_broker, room_database_url
from tests.conftest import TEST_EPOCH

__all__ = ["room", "room_broker", "room_database_url"]

T = TEST_EPOCH + 10 * U
GRID = Path(__file__).parents[2] / "scripts" / "demo" / "grids" / "1-LV-rural1--2-sw" / "grid.json"
BUSES = (3, 10, 12, 14)
"""Where the world's four nanogrids are connected."""
PASSIVE_BUS = 7
NANOGRID_W = -18_000
"""What each nanogrid is expected to draw: it injects 18 kW."""


@pytest.fixture
def desk_of(room: Room) -> Iterator[Callable[[str], Desk]]:
    """A desk with an actor's key."""
    opened: list[MarketClient] = []

    def open_desk(name: str) -> Desk:
        client = MarketClient(room.url, private_key="0x" + KEYS[name].hex(), patience_s=5)
        opened.append(client)
        return Desk(client, KEYS[name])

    yield open_desk
    for client in opened:
        client.close()


def node_grid(passive_w: int, steps: int = 4) -> NodeGrid:
    """The rural grid with the world's nanogrids and one passive point; every interval alike, from T on."""
    nanogrids = [
        PointForecast(bus, nanogrid(index), (NANOGRID_W,) * steps, (0,) * steps) for index, bus in enumerate(BUSES)
    ]
    passive = PointForecast(PASSIVE_BUS, None, (passive_w,) * steps, (0,) * steps)
    forecast = NodeForecast("test", GRID, 160.0, T, U, (*nanogrids, passive))
    return NodeGrid(PowerFlow(load_network(GRID, 160.0)), forecast)


def anchor(room: Room, interval: int) -> None:
    """The oracle's part: baselines in the database and on the chain."""
    values = [NANOGRID_W * U // 3600] * len(BUSES)
    room.world.anchor(interval, values)
    with session_scope(room.world.engine) as session:
        for kind in (0, 1):
            session.add(
                Baseline(
                    portfolio=PORTFOLIO, interval=interval, kind=kind, values=values if kind == 0 else [0] * len(BUSES),
                    root="0x" + "00" * 32, nominated_at=room.world.now_s, anchor_transaction=None,
                )
            )  # fmt: skip
    room.market.index()
