"""What leaving a library's assembly out costs: shares of what is measured on both sides, and of nothing else."""

from __future__ import annotations

import pytest

from scripts.bench.figures import Row
from scripts.bench.gas.assembly import dearer_rows, libraries
from scripts.bench.gas.node import GasBenchError
from scripts.bench.gas.twins import path_of, stand_in, twins

USUAL = {("gas_clear", 1000): Row("gas_clear", 1000, 500_000, "gas", "one transaction")}


def test_a_figure_says_how_much_dearer_it_is_and_from_what() -> None:
    plain = {("gas_clear", 1000): Row("gas_clear", 1000, 751_000, "gas", "")}
    (row,) = dearer_rows("Sweep", USUAL, plain, "the command")
    assert (row.figure, row.n, row.value, row.unit) == ("gas_clear_without_Sweep", 1000, 50.2, "%")
    assert row.how.startswith("500,000 gas with the assembly of Sweep, 751,000 with its plain twin; one transaction")
    assert row.how.endswith("the command")


def test_figures_of_one_side_only_are_refused() -> None:
    with pytest.raises(GasBenchError, match="gas_clear"):
        list(dearer_rows("Sweep", USUAL, {}, ""))


@pytest.mark.parametrize("library", libraries())
def test_every_twin_can_stand_for_its_library_alone(library: str) -> None:
    """Also those that need something more then: what takes a part's place is still found in the twin."""
    assert {*stand_in(library)} == {path_of(library)} <= {*twins()}
