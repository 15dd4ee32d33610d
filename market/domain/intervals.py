"""Intervals (named by the epoch second of their start) and the local days that they make up.

A local day of Europe/Rome has 92, 96 or 100 quarter-hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

from market.domain.units import MAX_INTERVAL

LOCAL_ZONE: Final = "Europe/Rome"
QUARTER_HOUR_S: Final = 900


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def is_interval(interval: int, unit_s: int = QUARTER_HOUR_S) -> bool:
    """Whether `interval` [epoch s] is a multiple of the market's time unit [s] that fits 32 bits."""
    return 0 < interval <= MAX_INTERVAL and interval % unit_s == 0


def interval_of(at_s: float, unit_s: int = QUARTER_HOUR_S) -> int:
    """Interval [epoch s] that contains the moment `at_s` [epoch s]."""
    return int(at_s // unit_s) * unit_s


def next_interval(at_s: float, unit_s: int = QUARTER_HOUR_S) -> int:
    """First interval that starts after the moment `at_s`."""
    return interval_of(at_s, unit_s) + unit_s


def intervals_between(first: int, end: int, unit_s: int = QUARTER_HOUR_S) -> range:
    """Intervals whose start lies in [first, end); `first` is rounded up to an interval."""
    return range(-(-first // unit_s) * unit_s, end, unit_s)


@dataclass(frozen=True, slots=True)
class LocalDay:
    """A calendar day of a time zone: the epoch seconds [start_s, end_s) that it spans."""

    day: date
    zone: str
    start_s: int
    end_s: int

    def intervals(self, unit_s: int = QUARTER_HOUR_S) -> range:
        """The day's intervals; with 900 s: 92, 96 or 100."""
        return intervals_between(self.start_s, self.end_s, unit_s)

    def next(self) -> LocalDay:
        """The following day."""
        return local_day(self.day + timedelta(days=1), self.zone)


def local_day(day: date, zone: str = LOCAL_ZONE) -> LocalDay:
    """The calendar day `day` of a time zone."""
    return LocalDay(day, zone, _midnight_s(day, zone), _midnight_s(day + timedelta(days=1), zone))


def day_of(interval: int, zone: str = LOCAL_ZONE) -> LocalDay:
    """The local day in which an interval [epoch s] starts."""
    return local_day(datetime.fromtimestamp(interval, _zone(zone)).date(), zone)


def days_from(day: date, zone: str = LOCAL_ZONE) -> Iterator[LocalDay]:
    """Endless consecutive local days from `day` on."""
    current = local_day(day, zone)
    while True:
        yield current
        current = current.next()


def _midnight_s(day: date, zone: str) -> int:
    return int(datetime.combine(day, time(), _zone(zone)).timestamp())


def iso(at_s: float) -> str:
    """ISO 8601 with offset Z of a moment [epoch s], whole seconds where it is whole."""
    moment = datetime.fromtimestamp(at_s, UTC)
    text = moment.isoformat(timespec="seconds" if moment.microsecond == 0 else "milliseconds")
    return text.replace("+00:00", "Z")


def from_iso(text: str) -> int:
    """Epoch seconds of an ISO 8601 moment; a moment without offset is refused (ValueError)."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"moment without an offset: {text!r}")
    return int(moment.timestamp())


def moment_after(after_s: int, offset_s: int, time_unit_s: int = QUARTER_HOUR_S) -> int:
    """The first time after another that is `offset_s` from the start of some interval [epoch s]."""
    return ((after_s - offset_s) // time_unit_s + 1) * time_unit_s + offset_s
