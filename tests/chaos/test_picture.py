"""What the picture of a run draws: each kind of fault with its number, its median and its longest recovery."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from scripts.chaos.picture import LONGEST, MEDIAN, SHORTEST_S, figure_of

RUN = {
    "kills_in_all": 1234,
    "minutes_of_faults": 65.0,
    "lost": 0,
    "doubled": 1,
    "unaccounted": 2,
    "seconds_to_recover": {
        "kill market": {"n": 1200, "median": 4.5, "max": 60.0},
        "clock agent": {"n": 34, "median": 0.0, "max": 0.03},
    },
}


@pytest.fixture
def axes() -> Iterator[Axes]:
    figure: Figure = figure_of(RUN)
    yield figure.axes[0]
    pyplot.close(figure)


def seconds(axes: Axes, colour: str) -> list[float]:
    (line,) = [line for line in axes.get_lines() if to_hex(line.get_color()) == colour]
    return [float(value) for value in line.get_xdata()]  # type: ignore[union-attr]


def test_each_kind_stands_with_its_number_the_slowest_at_the_top(axes: Axes) -> None:
    assert [label.get_text() for label in axes.get_yticklabels()] == ["clock agent (34)", "kill market (1,200)"]


def test_medians_and_longest_times_are_at_their_place_and_none_is_left_out_for_being_short(axes: Axes) -> None:
    assert seconds(axes, MEDIAN) == [SHORTEST_S, 4.5]
    assert seconds(axes, LONGEST) == [SHORTEST_S, 60.0]


def test_the_title_says_what_was_lost(axes: Axes) -> None:
    assert axes.get_title() == "1,234 kills in 65 minutes of faults: 0 lost, 1 doubled, 2 unaccounted for"
