"""Baselines: the profile that a nanogrid would have followed, by published methods that anyone can recompute.

Values in Wh (varh) of one interval, load convention, integers; means are rounded half to even, once. Methods as named
in OpenADR and UFTP practice: NOMINATED, HIGH_X_OF_Y, MIDDLE_8_OF_10 (a case of middle X of Y), MBMA (meter before,
meter after).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fractions import Fraction
from typing import Final

FORECAST_FORMAT: Final = 2
"""Version of a node's forecast file, by which the oracle nominates and the DSO's desk computes: both refuse others."""


class Method(StrEnum):
    """Methods of baselines."""

    NOMINATED = "NOMINATED"
    HIGH_X_OF_Y = "HIGH_X_OF_Y"
    MIDDLE_8_OF_10 = "MIDDLE_8_OF_10"
    MBMA = "MBMA"


class DayType(StrEnum):
    """Days that are like each other."""

    WORKDAY = "WORKDAY"
    SATURDAY = "SATURDAY"
    SUNDAY = "SUNDAY"


@dataclass(frozen=True, slots=True)
class MeteredDay:
    """Past day of a nanogrid: one value for each of its intervals [Wh or varh]."""

    day: date
    values: tuple[int, ...]

    @property
    def total(self) -> int:
        """Sum of the day."""
        return sum(self.values)


class NotEnoughDays(ValueError):
    """Fewer comparable days than the method needs."""


ADJUSTMENT_CAP: Final = Fraction(1, 5)
"""Same-day adjustment is at most +-20 %."""
_SATURDAY: Final = 5


def day_type(day: date, holidays: Collection[date] = ()) -> DayType:
    """Type of a day; a holiday counts as a Sunday."""
    if day in holidays or day.weekday() > _SATURDAY:
        return DayType.SUNDAY
    return DayType.SATURDAY if day.weekday() == _SATURDAY else DayType.WORKDAY


def comparable_days(
    history: Sequence[MeteredDay],
    day: date,
    count: int,
    *,
    excluded: Collection[date] = (),
    holidays: Collection[date] = (),
) -> list[MeteredDay]:
    """The last `count` days before `day` of its type, without excluded (event) days; NotEnoughDays when there are less.

    Days with another number of intervals than the most recent comparable one (a change of the clock) are left out.
    """
    wanted = day_type(day, holidays)
    past = [one for one in history if one.day < day and one.day not in excluded]
    alike = [one for one in sorted(past, key=lambda one: one.day) if day_type(one.day, holidays) is wanted]
    found = [one for one in alike if len(one.values) == len(alike[-1].values)][-count:]
    if len(found) < count:
        raise NotEnoughDays(f"{len(found)} of {count} days like {day} ({wanted})")
    return found


def nominated(profile: Sequence[int]) -> list[int]:
    """NOMINATED: the profile as it was nominated before the deadline."""
    return list(profile)


def high_x_of_y(days: Sequence[MeteredDay], x: int) -> list[int]:
    """HIGH_X_OF_Y: mean of the x days with the highest total among the given y days (later ones first on a tie)."""
    if not 0 < x <= len(days):
        raise NotEnoughDays(f"{x} of {len(days)} days")
    return _mean(sorted(days, key=lambda one: (one.total, one.day))[-x:])


def middle_x_of_y(days: Sequence[MeteredDay], x: int) -> list[int]:
    """Mean of the x middle days by total among the given y days; y - x must be even."""
    if not 0 < x <= len(days) or (len(days) - x) % 2:
        raise NotEnoughDays(f"the middle {x} of {len(days)} days")
    dropped = (len(days) - x) // 2
    return _mean(sorted(days, key=lambda one: (one.total, one.day))[dropped : dropped + x])


def middle_8_of_10(days: Sequence[MeteredDay]) -> list[int]:
    """MIDDLE_8_OF_10: without the highest and the lowest of ten days."""
    if len(days) != 10:
        raise NotEnoughDays(f"{len(days)} of 10 days")
    return middle_x_of_y(days, 8)


def meter_before_after(before: int, after: int, intervals: int) -> list[int]:
    """MBMA: mean of the interval before and the one after an activation, for each of its intervals."""
    return [round(Fraction(before + after, 2))] * intervals


def adjusted(baseline: Sequence[int], metered_before: int, baseline_before: int) -> list[int]:
    """Same-day additive adjustment by one interval before the cut-off, capped at +-20 % of each value."""
    shift = metered_before - baseline_before
    return [value + _capped(shift, round(abs(value) * ADJUSTMENT_CAP)) for value in baseline]


def _capped(shift: int, cap: int) -> int:
    return max(-cap, min(cap, shift))


def _mean(days: Sequence[MeteredDay]) -> list[int]:
    return [round(Fraction(sum(values), len(days))) for values in zip(*(one.values for one in days), strict=True)]
