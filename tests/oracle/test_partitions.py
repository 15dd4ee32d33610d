"""What the oracle asks of the readings looks at the partitions of the asked months only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, event, select, text

from market.store.database import read_scope
from market.store.facts import Reading
from market.store.partitions import add_month_partitions, month_partitions
from oracle import settle
from oracle.messages import ReceiptOutcome
from tests.chain.world import U
from tests.conftest import TEST_EPOCH
from tests.oracle.conftest import Desk

pytestmark = pytest.mark.postgresql

BY_INTERVAL = "readings.interval"
Asked = list[tuple[str, Any]]


@pytest.fixture
def migrated_database_url(postgresql_database: str) -> str:
    """One kind only has partitions."""
    return postgresql_database


@pytest.fixture
def asked(desk: Desk) -> Asked:
    """Every question about the readings that the product asks from now on, with its parameters."""
    questions: Asked = []

    def note(_c: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if statement.startswith("SELECT") and "FROM readings" in statement:
            questions.append((statement, parameters))

    event.listen(desk.oracle.engine, "before_cursor_execute", note)
    return questions


def read_in(desk: Desk, partition: str) -> set[str]:
    with desk.oracle.engine.connect() as connection:
        return set(connection.scalars(text(f"SELECT nanogrid || ' ' || interval FROM {partition}")))


def plan_of(desk: Desk, statement: str, parameters: Any) -> str:
    with desk.oracle.engine.connect() as connection:
        return "\n".join(connection.exec_driver_sql(f"EXPLAIN (COSTS OFF) {statement}", parameters).scalars())


def month_of(interval: int) -> str:
    return f"readings_{datetime.fromtimestamp(interval, UTC):%Y_%m}"


def test_the_plans_of_the_oracles_own_queries_hold_the_asked_months_only(desk: Desk, asked: Asked) -> None:
    with desk.oracle.engine.begin() as connection:
        add_month_partitions(connection, TEST_EPOCH - 60 * 86_400, months=5)
        months = month_partitions(connection)
    assert len(months) > 12
    meter, interval = desk.meter(0), TEST_EPOCH + U
    desk.world.at(interval + 2 * U)
    [receipt] = desk.take(meter, meter.read(interval))
    assert receipt.outcome is ReceiptOutcome.STORED
    settle.settle(desk.oracle, interval)
    by_interval = [question for question in asked if BY_INTERVAL in question[0].partition("WHERE")[2]]
    # Two of the ingest, two of the settlement: the one of a gateway's last reading looks at every month by its index.
    assert len(by_interval) >= 3
    for statement, parameters in by_interval:
        plan = plan_of(desk, statement, parameters)
        touched = {name for name in months if f" {name} " in plan.replace("\n", " \n")}
        assert touched <= {month_of(interval), month_of(interval - 4 * U)}, plan
        assert touched, plan


def test_a_reading_of_a_month_without_partition_is_stored_and_found(desk: Desk) -> None:
    interval = int(datetime(2034, 5, 10, tzinfo=UTC).timestamp())
    desk.world.at(interval + 2 * U)
    meter = desk.meter(0)
    [receipt] = desk.take(meter, meter.read(interval))
    assert receipt.outcome is ReceiptOutcome.STORED
    assert len(read_in(desk, "readings_other")) == 1
    with read_scope(desk.oracle.engine) as session:
        assert session.scalars(select(Reading.interval)).all() == [interval]
