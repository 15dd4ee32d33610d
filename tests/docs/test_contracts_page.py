"""The page about the contracts: its tests exist, its gas table is what was measured, its facts are the code's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from market.chain.deployment import DeploymentParameters
from scripts.bench.gas_table import LINES, NOT_MEASURED, PAGE, measured, table, with_table

ATTACKS = PAGE.parents[1] / "tests" / "attacks"
TEXT = PAGE.read_text(encoding="utf-8")
NAMED = re.findall(r"`(test_\w+\.py)::(test_\w+)`", TEXT)
LARGE = (500, 1000, 2000, 4000, 10_000)
SAID = (
    (
        "takes {} gas among 500 nanogrids, {} among 1,000, {} among 2,000, {} among 4,000 and {} among 10,000",
        [("gas_settle_per_award", n) for n in LARGE],
    ),
    (
        "120,000 bytes ([settlement_batches.py](../market/domain/settlement_batches.py)): {}, {}, {}, {} and {}, on a",
        [("gas_settle_per_award_in_full_batches", n) for n in LARGE],
    ),
    ("on a straight line of {} an award", [("gas_settle_in_full_batches_slope", 10_000)]),
    ("One award alone takes {}, {}, {}, {} and {}, for", [("gas_settle_award_alone", n) for n in LARGE]),
    ("an expiry judges and skips each ({}, ", [("gas_expire_per_award_between", 1000)]),
    (
        "clearing {} instead of {} and posting and clearing {} a bid, 50 revisions among 1,000 posts {} and {} ",
        [
            ("gas_clear_with_a_revision", 1000),
            ("gas_clear", 1000),
            ("gas_post_and_clear_per_bid_with_a_revision", 1000),
            ("gas_clear_with_a_twentieth_revised", 1000),
            ("gas_post_and_clear_per_bid_with_a_twentieth_revised", 1000),
        ],
    ),
    ("Clearing 1,000 bids again after a verdict takes {} ", [("gas_clear_again", 1000)]),
    ("The largest claim, of 16 passed over, takes {} ", [("gas_clear_passing_over_16", 1000)]),
    ("({} an award, 100 in a batch, seats credited before", [("gas_settle_per_award_p256", 100)]),
)
"""Text with a place for each figure -> the figures, in the order of their places."""


def names_in(path: Path) -> set[str]:
    return set(re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE))


def test_every_test_that_the_page_names_exists() -> None:
    assert NAMED
    missing = [f"{file}::{name}" for file, name in NAMED if name not in names_in(ATTACKS / file)]
    assert not missing


def test_every_row_of_the_threat_table_names_a_test() -> None:
    section = TEXT.partition("## Threats")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 40
    assert [row for row in rows if not re.search(r"`test_\w+\.py::test_\w+`", row)] == []


def test_every_file_of_attacks_is_named() -> None:
    assert {path.name for path in ATTACKS.glob("test_*.py")} == {file for file, _ in NAMED}


def test_the_gas_table_is_what_was_measured() -> None:
    """`python -m scripts.bench.gas_table` writes it after a measurement."""
    assert with_table(TEXT, measured()) == TEXT


@pytest.mark.parametrize(("text", "figures"), SAID, ids=lambda each: each if isinstance(each, str) else "")
def test_the_figures_in_the_text_are_those_that_were_measured(text: str, figures: list[tuple[str, int]]) -> None:
    """Rounded to four digits, or to three."""
    said = re.findall(re.escape(text).replace(r"\{\}", r"([\d,]+\d)"), TEXT)
    assert len(said) == 1, text
    numbers = [said[0]] if isinstance(said[0], str) else said[0]
    by_figure = {(row["figure"], row["n"]): row["value"] for row in measured()}
    for number, figure in zip(numbers, figures, strict=True):
        assert float(number.replace(",", "")) == pytest.approx(by_figure[figure], rel=0.002), figure


def test_a_gas_table_shows_what_it_is_given() -> None:
    rows = [{"figure": line.figure, "n": line.n or 1, "value": 1234.6} for line in LINES[:2]]
    shown = table(rows)
    assert "| 1,235 | at most 9,300 |" in shown
    assert len(shown.splitlines()) == 4
    assert table([]) == NOT_MEASURED
    with pytest.raises(ValueError, match="0 places"):
        with_table("no marker", rows)


def test_the_cost_of_holds_on_the_page_is_the_default_bond() -> None:
    assert DeploymentParameters().hold_bond_ueur == 10_000_000
    assert "10 EUR for each award at the default parameters" in TEXT
