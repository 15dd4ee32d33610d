"""On PostgreSQL the market makes the readings' partitions ahead of their months."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from market.jobs import run_job
from market.server import schedule_of
from market.store.partitions import MONTHS_AHEAD, month_partitions
from tests.chain.world import U
from tests.cli.conftest import Room

LATER = int(datetime(2033, 11, 20, tzinfo=UTC).timestamp())


@pytest.fixture
def room_database_url(postgresql_database: str) -> str:
    return postgresql_database


pytestmark = pytest.mark.postgresql


def run_the_calendar(room: Room, at_s: int) -> None:
    """All jobs that are due in the interval up to a time, as the market's process runs them."""
    room.world.at(at_s)
    for _, job, interval in schedule_of(room.market).due(at_s - U + 1, at_s):
        assert run_job(job, interval)


def partitions(room: Room) -> set[str]:
    with room.world.engine.connect() as connection:
        return month_partitions(connection)


def months_of(year: int, first: int, count: int) -> set[str]:
    months = range(12 * year + first - 1, 12 * year + first - 1 + count)
    return {f"readings_{month // 12}_{month % 12 + 1:02d}" for month in months}


def test_a_market_that_runs_for_years_is_always_more_than_a_year_ahead(room: Room) -> None:
    before = partitions(room)
    assert "readings_2033_11" not in before
    run_the_calendar(room, LATER)
    assert partitions(room) - before == months_of(2033, 11, MONTHS_AHEAD)
    run_the_calendar(room, LATER + 11 * 86_400)
    assert partitions(room) - before == months_of(2033, 11, MONTHS_AHEAD + 1)


def test_partitions_that_cannot_be_made_now_are_made_later_and_nobody_waits_behind_them(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long read holds the table: the lock for the new partition would make every writer wait behind it."""
    monkeypatch.setattr("market.store.partitions._LOCKED_WITHIN_S", 0.2)
    monkeypatch.setattr("market.jobs._PATIENCE_S", 0.0)
    room.world.at(LATER)
    [(_, job, interval)] = schedule_of(room.market).due(LATER - U + 1, LATER)
    with room.world.engine.connect() as reader:
        reader.execute(text("SELECT count(*) FROM readings"))
        assert not run_job(job, interval)
    assert run_job(job, interval)
    assert months_of(2033, 11, MONTHS_AHEAD) <= partitions(room)
