"""What the picture of gas draws: every figure at its place, and the targets that it is held against."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from scripts.bench.figures import Row
from scripts.bench.gas.picture import LIMIT, OURS, PANELS, SLOTS, TARGET, figure_of

CLEAR = {10: 90_000.0, 1000: 500_000.0, 100: 130_000.0}
SLOTS_CLEAR = {10: 50_000.0, 100: 220_000.0}


@pytest.fixture
def drawn() -> Iterator[Figure]:
    rows = [Row("gas_clear", n, value, "gas", "") for n, value in CLEAR.items()]
    rows += [Row("stored_slots_gas_clear", n, value, "gas", "") for n, value in SLOTS_CLEAR.items()]
    figure = figure_of(rows)
    yield figure
    pyplot.close(figure)


def lines(axes: Axes, colour: str) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in line.get_xydata()]  # type: ignore[union-attr]
        for line in axes.get_lines()
        if to_hex(line.get_color()) == colour
    ]


def test_each_panel_is_log_log_and_names_its_unit(drawn: Figure) -> None:
    assert [axes.get_ylabel() for axes in drawn.axes] == [panel.unit for panel in PANELS]
    assert {(axes.get_xscale(), axes.get_yscale()) for axes in drawn.axes} == {("log", "log")}


def test_a_figure_is_a_line_in_the_order_of_sizes(drawn: Figure) -> None:
    clearing = drawn.axes[1]
    assert lines(clearing, OURS) == [sorted(CLEAR.items())]
    assert lines(clearing, SLOTS) == [sorted(SLOTS_CLEAR.items())]


def test_targets_and_the_limit_of_a_transaction_are_marked(drawn: Figure) -> None:
    clearing = drawn.axes[1]
    marked = {point for line in lines(clearing, TARGET) for point in line}
    assert marked == {(1000, 600_000), (1000, 450_000)}
    assert {y for line in lines(clearing, LIMIT) for _, y in line} == {16_777_216}
    texts = {text.get_text() for text in clearing.texts}
    assert "must ≤ 600,000\naim ≤ 450,000" in texts
