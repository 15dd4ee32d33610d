"""`python -m scripts.bench.gas_table`: writes the gas table of docs/contracts.md from docs/benchmarks/gas.json."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scripts.bench.figures import FOLDER, ROOT

PAGE: Final = ROOT / "docs" / "contracts.md"
FIGURES: Final = FOLDER / "gas.json"
NOT_MEASURED: Final = "Not measured yet."
_BLOCK: Final = re.compile(r"(<!-- gas: [^\n]*-->\n).*?(\n<!-- end of gas -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: a figure at a size, for people, and what it must not pass (None: only reported)."""

    label: str
    figure: str
    n: int | None
    limit: str | None = None


LINES: Final = (
    Line("post and clear, per bid, 1000 bids", "gas_post_and_clear_per_bid", 1000, "at most 9,300"),
    Line(
        "post and clear, per post, 1000 posts of which 50 are revisions",
        "gas_post_and_clear_per_bid_with_a_twentieth_revised",
        1000,
        "at most 9,300",
    ),
    Line("post and clear, per bid, 10,000 bids", "gas_post_and_clear_per_bid", 10_000),
    Line("post, per bid, in batches of 400", "gas_post_per_bid", 1000),
    Line("clear 1000 bids, one transaction", "gas_clear", 1000, "at most 600,000"),
    Line("clear 1000 bids of which one was revised", "gas_clear_with_a_revision", 1000, "at most 600,000"),
    Line("clear 1000 posts of which 50 are revisions", "gas_clear_with_a_twentieth_revised", 1000, "at most 600,000"),
    Line("bids cleared in one transaction", "bids_cleared_in_one_transaction", None, "at least 10,000"),
    Line("settle, per award, 500 in batches of up to 200", "gas_settle_per_award", 500, "at most 12,500"),
    Line("settle, per award, 10,000 in full batches", "gas_settle_per_award_in_full_batches", 10_000),
    Line("settle one award alone, by anyone, 1000 seats", "gas_settle_award_alone", 1000, "at most 85,000"),
)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The table of what was measured; figures that were not are left out."""
    shown = [
        f"| {line.label} | {value:,} | {line.limit or '–'} |"
        for line in LINES
        if (value := _value(rows, line)) is not None
    ]
    if not shown:
        return NOT_MEASURED
    return "\n".join(["| what | measured [gas, or bids] | must be |", "| --- | ---: | --- |", *shown])


def _value(rows: Sequence[dict[str, Any]], line: Line) -> int | None:
    for row in rows:
        if row["figure"] == line.figure and line.n in (None, row["n"]):
            value: float = row["value"]
            return round(value)
    return None


def with_table(page: str, rows: Sequence[dict[str, Any]]) -> str:
    """The page with its table written anew. ValueError when it has no place for one."""
    written, places = _BLOCK.subn(lambda found: f"{found[1]}{table(rows)}{found[2]}", page)
    if places != 1:
        raise ValueError(f"the page has {places} places for the gas table, not one")
    return written


def measured(path: Path = FIGURES) -> list[dict[str, Any]]:
    """The measured figures; none where nothing was measured yet."""
    if not path.exists():
        return []
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return rows


def main() -> None:
    """Write the table."""
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), measured()), encoding="utf-8")


if __name__ == "__main__":
    main()
