"""Notices become visible in the order of their ids, so that a stream that goes on behind the last one misses none."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, select

from market.services.notices import note_reading
from market.store.database import migrate, open_engine, read_scope, session_scope
from market.store.models import Notice, Reading


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    migrate(database_url)
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


def reading(nanogrid: int) -> Reading:
    return Reading(nanogrid=nanogrid, interval=900)


def test_a_notice_waits_for_those_that_have_begun_before_it(engine: Engine) -> None:
    begun, finish = threading.Event(), threading.Event()

    def slow() -> None:
        with session_scope(engine) as session:
            note_reading(session, reading(1), 0)
            session.flush()
            begun.set()
            finish.wait(10)

    def quick() -> None:
        with session_scope(engine) as session:
            note_reading(session, reading(2), 0)

    def seen() -> list[int]:
        with read_scope(engine) as session:
            return list(session.scalars(select(Notice.nanogrid).order_by(Notice.id)))

    threads = [threading.Thread(target=slow), threading.Thread(target=quick)]
    threads[0].start()
    assert begun.wait(10)
    threads[1].start()
    threads[1].join(0.5)
    early = seen()
    finish.set()
    for thread in threads:
        thread.join(10)
    assert early == [], "the later one is not seen before the earlier one"
    assert seen() == [1, 2]
