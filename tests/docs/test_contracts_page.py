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
