"""Reports of days that nobody has played."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from scripts.demo.report import DayReport, GridDay


def report_with(series: list[dict[str, Any]]) -> DayReport:
    """A report of a series; all its other figures are nothing."""
    grid = GridDay([], 0.0, 0, 0.0, 1.0, 1.0)
    numbers = {each.name: 0 for each in fields(DayReport)}
    texts = {"grid": "g", "day": "d", "intervals_by_phase": {}, "awards_by_outcome": {}, "series": series}
    return DayReport(**{**numbers, **texts, "with_market": grid, "without_market": grid})  # type: ignore[arg-type]
