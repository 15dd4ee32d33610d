"""Who is back is asked of what was written down: the last word of each gateway counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from market.store.database import migrate, open_engine, session_scope
from market.store.facts import GatewayStatus
from scripts.chaos.recovery import NotBack, Recoveries, are_online, seconds_until


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    migrate(url := f"sqlite:///{tmp_path / 'market.sqlite'}")
    opened = open_engine(url)
    yield opened
    opened.dispose()


def say(engine: Engine, nanogrid: int, at_s: int, *, online: bool) -> None:
    with session_scope(engine) as session:
        session.add(
            GatewayStatus(gateway="0x" + f"{nanogrid:040x}", nanogrid=nanogrid, online=online, received_at=at_s)
        )


def test_gateways_are_online_when_the_last_word_of_each_says_so(engine: Engine) -> None:
    say(engine, 1, 100, online=True)
    assert not are_online(engine, {1, 2}, None), "nothing is known of the other"
    say(engine, 2, 101, online=True)
    assert are_online(engine, {1, 2}, None)
    say(engine, 1, 102, online=False)
    assert not are_online(engine, {1, 2}, None)
    assert are_online(engine, {2}, None)


def test_a_word_from_before_the_fault_is_no_sign_of_life(engine: Engine) -> None:
    say(engine, 1, 100, online=True)
    assert not are_online(engine, {1}, 100.9 + 1)
    say(engine, 1, 105, online=True)
    assert are_online(engine, {1}, 101.9)


def test_while_the_database_does_not_answer_nobody_is_known_to_be_back() -> None:
    nobody = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing", connect_args={"connect_timeout": 1})
    assert not are_online(nobody, {1}, None)


async def test_who_is_back_for_a_moment_only_is_not_back() -> None:
    begun_s = time.monotonic()
    answers = iter([True, False])

    async def probe() -> bool:
        return next(answers, True)

    assert await seconds_until(probe, begun_s, 30, "it") > 2


async def test_who_does_not_come_back_is_named() -> None:
    async def probe() -> bool:
        return False

    with pytest.raises(NotBack, match="the market is not back after 1 s"):
        await seconds_until(probe, time.monotonic(), 1, "the market")


def test_recoveries_are_shown_by_median_and_maximum() -> None:
    recoveries = Recoveries()
    for seconds in (3.0, 1.0, 10.0):
        recoveries.note("kill market", seconds)
    assert recoveries.figures() == {"kill market": {"n": 3, "median": 3.0, "max": 10.0}}
