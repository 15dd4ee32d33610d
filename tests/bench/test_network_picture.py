"""What the picture of the network draws: every figure of network.json at its height."""

from __future__ import annotations

import json

import pytest
from matplotlib import pyplot

from scripts.bench.figures import FOLDER
from scripts.bench.network_picture import figure_of


def test_every_committed_figure_is_a_bar_of_its_height() -> None:
    values = {row["figure"]: row["value"] for row in json.loads((FOLDER / "network.json").read_text(encoding="utf-8"))}
    figure = figure_of(values)
    heights = [bar.get_height() for axes in figure.axes for bar in axes.patches]  # type: ignore[attr-defined]
    pyplot.close(figure)
    assert sorted(heights) == pytest.approx(sorted(values.values()))
