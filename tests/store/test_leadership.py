"""Of several processes over one PostgreSQL one acts: until it says so, dies, hangs, or its connection ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, text

from market.store.database import open_engine
from market.store.leadership import FREED_AFTER_S, Leadership
from tests.waiting import until

KEY = 0x4D475254
SOON_S = 3.0
"""Longer than the processes ask for the lock, shorter than a silent one may keep it."""
OFTEN_S = 0.02
MakeLeadership = Callable[[], Leadership]

HOLDER = """
import structlog, sys, time
from market.store.database import open_engine
from market.store.leadership import Leadership
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
leadership = Leadership(open_engine(sys.argv[1]), int(sys.argv[2]), "test")
leadership.start()
while True:
    print(int(leadership.is_held()), flush=True)
    time.sleep(0.1)
"""


@pytest.fixture
def engine(postgresql_database: str) -> Iterator[Engine]:
    engine = open_engine(postgresql_database)
    yield engine
    engine.dispose()


@pytest.fixture
def new_leadership(engine: Engine) -> Iterator[MakeLeadership]:
    """Makes a process's part in it, and starts it."""
    made: list[Leadership] = []

    def make() -> Leadership:
        leadership = Leadership(engine, KEY, "test")
        made.append(leadership)
        leadership.start()
        return leadership

    yield make
    for leadership in made:
        leadership.close()


@pytest.fixture
def holder(postgresql_database: str) -> Iterator[subprocess.Popen[str]]:
    """Another process, which has the lock and says ten times a second whether it counts on it."""
    command = [sys.executable, "-c", HOLDER, postgresql_database, str(KEY)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.postgresql
def test_one_acts_and_the_next_one_when_it_gives_up(new_leadership: MakeLeadership) -> None:
    first, second = new_leadership(), new_leadership()
    gained: list[float] = []
    second.on_gain(lambda: gained.append(time.monotonic()))
    assert first.is_held()
    time.sleep(1.5)
    assert not second.is_held()
    assert gained == []
    first.close()
    assert not first.is_held()
    until(second.is_held, SOON_S, every_s=OFTEN_S)
    assert len(gained) == 1


@pytest.mark.postgresql
def test_a_process_that_dies_is_followed_at_once(holder: subprocess.Popen[str], new_leadership: MakeLeadership) -> None:
    follower = new_leadership()
    assert not follower.is_held()
    holder.kill()
    until(follower.is_held, SOON_S, every_s=OFTEN_S)


@pytest.mark.slow
@pytest.mark.postgresql
def test_a_process_that_hangs_is_followed_and_knows_it_when_it_goes_on(
    holder: subprocess.Popen[str], new_leadership: MakeLeadership
) -> None:
    follower = new_leadership()
    holder.send_signal(signal.SIGSTOP)
    took_s = until(follower.is_held, FREED_AFTER_S + SOON_S, every_s=OFTEN_S)
    assert took_s > FREED_AFTER_S / 2, "a short pause costs nobody its place"
    assert holder.stdout is not None
    holder.send_signal(signal.SIGCONT)
    said = [holder.stdout.readline() for _ in range(int(10 * FREED_AFTER_S) + 20)]
    # What it had said before it was stopped is still in the pipe; from then on it counts on nothing.
    assert set(said[said.index("0\n") :]) == {"0\n"}
    assert follower.is_held()


@pytest.mark.postgresql
def test_a_connection_that_the_server_ends_is_made_again(engine: Engine, new_leadership: MakeLeadership) -> None:
    leadership = new_leadership()
    assert leadership.is_held()
    with engine.begin() as connection:
        ended = connection.scalar(
            text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = :key"),
            {"key": KEY},
        )
    assert ended
    until(lambda: not leadership.is_held(), SOON_S, every_s=OFTEN_S)
    until(leadership.is_held, SOON_S, every_s=OFTEN_S)


def test_on_sqlite_the_one_process_acts_at_once() -> None:
    engine = open_engine("sqlite://")
    leadership = Leadership(engine, KEY, "test")
    leadership.start()
    assert leadership.is_held()
    leadership.close()
    assert not leadership.is_held()
    engine.dispose()
