"""Monthly partitions of the readings on PostgreSQL. SQLite keeps them in one table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, text

MONTHS_AHEAD: Final = 14
_MONTHS: Final = 12


def add_default_partition(connection: Connection) -> None:
    """The partition for readings of months that have none of their own; done once, by the migration."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("CREATE TABLE readings_other PARTITION OF readings DEFAULT"))


def add_month_partitions(connection: Connection, from_s: int, months: int = MONTHS_AHEAD) -> list[str]:
    """Add the missing partitions of some months; returns the new ones' names.

    A month whose readings are in the default partition already stays there.

    Args:
        from_s: a time within the first month. [epoch s]
        months: how many.
    """
    if connection.dialect.name != "postgresql":
        return []
    day = datetime.fromtimestamp(from_s, UTC)
    first = day.year * _MONTHS + day.month - 1
    added = []
    for month in range(first, first + months):
        name = f"readings_{month // _MONTHS:04d}_{month % _MONTHS + 1:02d}"
        begin_s, end_s = _start_of(month), _start_of(month + 1)
        if connection.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is not None:
            continue
        kept_elsewhere = connection.scalar(
            text("SELECT EXISTS (SELECT 1 FROM readings_other WHERE interval >= :first AND interval < :end)"),
            {"first": begin_s, "end": end_s},
        )
        if not kept_elsewhere:
            # Names and bounds are made of numbers only; DDL takes no parameters.
            connection.execute(
                text(f"CREATE TABLE {name} PARTITION OF readings FOR VALUES FROM ({begin_s}) TO ({end_s})")
            )
            added.append(name)
    return added


def _start_of(month: int) -> int:
    return int(datetime(month // _MONTHS, month % _MONTHS + 1, 1, tzinfo=UTC).timestamp())
