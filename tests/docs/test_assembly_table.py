"""Assembly saves what the page says: each library is measured, and saves enough somewhere or says why it is there."""

from __future__ import annotations

import pytest

from scripts.bench.assembly_table import (
    FIGURES,
    LABELS,
    LEAST_PER_CENT,
    PURPOSES,
    REASONS,
    best_savings,
    table,
    with_table,
)
from scripts.bench.gas import assembly
from scripts.bench.gas.twins import path_of, twins
from scripts.bench.gas_table import PAGE, measured

ROWS = measured(FIGURES)


def test_the_table_is_what_was_measured() -> None:
    """`python -m scripts.bench.assembly_table` writes it after a measurement."""
    text = PAGE.read_text(encoding="utf-8")
    assert with_table(text, ROWS) == text


def test_every_library_with_assembly_is_measured_against_its_twin() -> None:
    libraries = set(assembly.libraries())
    assert len(libraries) > 10
    assert {path_of(library) for library in libraries} == {*twins()}
    assert {*best_savings(ROWS)} == libraries == {*PURPOSES}
    wanted = {f"{figure}_without_{library}" for figure in assembly.FIGURES for library in libraries}
    wanted |= {f"longest_code_without_{library}" for library in libraries}
    assert {row["figure"] for row in ROWS} == wanted


def test_assembly_saves_enough_somewhere_or_has_its_reason() -> None:
    little = {library for library, saving in best_savings(ROWS).items() if saving.per_cent < LEAST_PER_CENT}
    assert little == {*REASONS}


def test_every_figure_has_a_name_for_people() -> None:
    assert set(LABELS) == set(assembly.FIGURES)


def test_the_largest_saving_of_a_library_counts() -> None:
    def row(figure: str, value: float, unit: str = "%") -> dict[str, object]:
        return {"figure": f"{figure}_without_Sweep", "n": 1000, "value": value, "unit": unit}

    rows = [row("gas_finalise", -0.1), row("gas_clear", 51.25), row("longest_code", 24_000, "byte")]
    assert table(rows).splitlines()[2:] == [f"| Sweep | {PURPOSES['Sweep']} | clear, 1,000: 51.2 % |"]
    with pytest.raises(ValueError, match="0 places"):
        with_table("no marker", rows)
