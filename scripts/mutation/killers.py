"""A plugin of pytest that runs the likely killers first, and writes down which test noticed a fault, and how.

It needs pytest alone: it runs in Brownie's environment too. The file that MERITGRID_MUTATION_ORDER names holds the
names of the tests to be run first, one in each line; the one that MERITGRID_MUTATION_KILLER names gets the answer.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

LONGEST_REASON = 200


def in_order(items: list[Any], first: Sequence[str]) -> list[Any]:
    """The items, those that are named first in that order."""
    places = {name: place for place, name in enumerate(first)}
    return sorted(items, key=lambda item: places.get(item.nodeid, len(places)))  # stable: the others as they were


def reason_of(report: Any) -> str:
    """What a failed test says, in a line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    return " ".join(text.split())[:LONGEST_REASON]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Brings the items into their order."""
    if order := os.environ.get("MERITGRID_MUTATION_ORDER"):
        items[:] = in_order(items, Path(order).read_text(encoding="utf-8").splitlines())


def pytest_runtest_logreport(report: Any) -> None:
    """Writes the first failure down."""
    if (killer := os.environ.get("MERITGRID_MUTATION_KILLER")) and report.failed and not Path(killer).exists():
        Path(killer).write_text(f"{report.nodeid}\n{reason_of(report)}\n", encoding="utf-8")
