"""`python -m scripts.bench.assembly_table`: writes what the assembly saves into docs/contracts.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from scripts.bench.figures import FOLDER
from scripts.bench.gas_table import PAGE, measured

FIGURES: Final = FOLDER / "assembly.json"
LEAST_PER_CENT: Final = 3.0
"""What assembly must save somewhere, or its reason be said."""
_BLOCK: Final = re.compile(r"(<!-- assembly: [^\n]*-->\n).*?(\n<!-- end of assembly -->)", re.DOTALL)
_WITHOUT: Final = "_without_"

LABELS: Final = {
    "gas_post_per_bid": "post, per bid",
    "gas_post_per_revised_bid": "revise, per bid",
    "gas_clear": "clear",
    "gas_clear_passing_over_16": "clear, the largest claim",
    "gas_clear_again": "clear again after a verdict",
    "gas_finalise": "finalise",
    "gas_announce_reading": "announce a reading",
    "gas_settle_per_award": "settle, per award",
    "gas_settle_per_award_with_penalty": "settle with penalties, per award",
    "gas_settle_per_award_p256": "settle with P-256 keys, per award",
    "gas_settle_award_alone": "settle one award alone",
    "gas_sell_settle_per_award": "settle SELL, per award",
    "gas_expire_per_award": "expire, per award",
}
"""Figure -> what people call it."""

PURPOSES: Final = {
    "AwardEnd": "appends 15 bytes to a list that grows in place",
    "BidRecord": "reads 12 bytes at an offset; folds a record into the chain in scratch space",
    "GatewayReading": "reads 15 bytes at an offset; cuts the signature out with one check instead of four",
    "PostingLane": "the loop over ordinary bids",
    "PurchaseRun": "the loop that books awards",
    "ReadingRun": "the loop that judges readings",
    "RecordBuffer": "appends 12 bytes to a list that grows in place",
    "SeatSigner": "writes a word into a row of bytes",
    "Sweep": "the loop that clears",
    "VectorProof": "hashes leaves and pairs in place",
    "VectorTree": "hashes a leaf in free memory; grows a list of peaks in place",
    "WordList": "reads and writes words of bytes",
}
"""Library -> what its assembly does."""

NOT_ASSEMBLY: Final = frozenset({"gas_settle_award_alone_without_VectorProof"})
"""Figures that get dearer because the twin does otherwise what the library does without assembly."""

REASONS: Final = {
    "VectorProof": "without it an award of 500 would take more than the 12,500 that it may",
}
"""Library whose assembly saves less than LEAST_PER_CENT everywhere -> why it has some."""


@dataclass(frozen=True, slots=True)
class Saving:
    """A figure at a size, and by how many per cent it gets dearer without a library's assembly."""

    figure: str
    n: int
    per_cent: float


def best_savings(rows: Sequence[dict[str, Any]]) -> dict[str, Saving]:
    """Library -> its largest saving."""
    best: dict[str, Saving] = {}
    for row in rows:
        figure, _, library = row["figure"].partition(_WITHOUT)
        if row["unit"] != "%" or row["figure"] in NOT_ASSEMBLY:
            continue
        saving = Saving(figure, row["n"], row["value"])
        best[library] = max(best.get(library, saving), saving, key=lambda each: each.per_cent)
    return best


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A line for each library, the largest saving first."""
    ranked = sorted(best_savings(rows).items(), key=lambda each: -each[1].per_cent)
    head = ["| library | what its assembly does | what gets dearest without it |", "| --- | --- | --- |"]
    return "\n".join([*head, *(_line(library, saving) for library, saving in ranked)])


def _line(library: str, saving: Saving) -> str:
    does = PURPOSES[library]
    if saving.per_cent < LEAST_PER_CENT:
        does += f"; {REASONS[library]}"
    return f"| {library} | {does} | {LABELS[saving.figure]}, {saving.n:,}: {saving.per_cent:.1f} % |"


def with_table(page: str, rows: Sequence[dict[str, Any]]) -> str:
    """The page with its table written anew. ValueError when it has no place for one."""
    written, places = _BLOCK.subn(lambda found: f"{found[1]}{table(rows)}{found[2]}", page)
    if places != 1:
        raise ValueError(f"the page has {places} places for the table of the assembly, not one")
    return written


def main() -> None:
    """Write the table."""
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), measured(FIGURES)), encoding="utf-8")


if __name__ == "__main__":
    main()
