"""Monthly partitions of the readings on PostgreSQL. SQLite keeps them in one table.

They are made more than a year ahead, by every migration and by the market's calendar. A reading of a month that has
none all the same is stored in the default partition: nothing is refused for want of a partition.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import structlog
from sqlalchemy import Connection, text

log = structlog.get_logger(__name__)

MONTHS_AHEAD: Final = 14
_MONTHS: Final = 12
_LOCKED_WITHIN_S: Final = 5


def add_default_partition(connection: Connection) -> None:
    """The partition for readings of months that have none of their own; done once, by the migration."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("CREATE TABLE readings_other PARTITION OF readings DEFAULT"))


def add_month_partitions(connection: Connection, from_s: int, months: int = MONTHS_AHEAD) -> list[str]:
    """Add the missing partitions of some months; returns the new ones' names.

    A month whose readings are in the default partition already stays there. The readings are locked for the moment that
    it takes, and whoever waits for them any longer makes this fail: it is to be tried again.

    Args:
        from_s: a time within the first month. [epoch s]
        months: how many.
    """
    if connection.dialect.name != "postgresql":
        return []
    day = datetime.fromtimestamp(from_s, UTC)
    first = day.year * _MONTHS + day.month - 1
    wanted = {
        f"readings_{month // _MONTHS:04d}_{month % _MONTHS + 1:02d}": month for month in range(first, first + months)
    }
    present = month_partitions(connection)
    missing = [(name, month) for name, month in wanted.items() if name not in present]
    if missing and not _is_owner(connection):
        return []  # the oracle's role may not, and need not: the market's does it
    if missing:
        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCKED_WITHIN_S}s'"))
    return [name for name, month in missing if _add(connection, name, month)]


def month_partitions(connection: Connection) -> set[str]:
    """Names of the partitions of the readings on PostgreSQL, that of no month included."""
    parts = connection.scalars(
        text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'readings'::regclass")
    )
    return set(parts)


def _is_owner(connection: Connection) -> bool:
    owned = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'readings'::regclass"
    return bool(connection.scalar(text(owned)))


def _add(connection: Connection, name: str, month: int) -> bool:
    begin_s, end_s = _start_of(month), _start_of(month + 1)
    kept_elsewhere = connection.scalar(
        text("SELECT EXISTS (SELECT 1 FROM readings_other WHERE interval >= :first AND interval < :end)"),
        {"first": begin_s, "end": end_s},
    )
    if kept_elsewhere:
        log.info("the month's readings are in the partition of no month, and stay there", month=name)
        return False
    # Names and bounds are made of numbers only; DDL takes no parameters.
    connection.execute(text(f"CREATE TABLE {name} PARTITION OF readings FOR VALUES FROM ({begin_s}) TO ({end_s})"))
    return True


def _start_of(month: int) -> int:
    return int(datetime(month // _MONTHS, month % _MONTHS + 1, 1, tzinfo=UTC).timestamp())
