"""What the picture of a day draws: both loadings, the light by forecast as bands, measured RED as a mark, the price."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from matplotlib import dates, pyplot
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch

from scripts.demo.picture import BAND_COLOURS, MEASURED_RED, STRIP_SHARE, figure_of
from tests.demo.reports import report_with

FIRST = 1_463_738_400
U = 900
LIGHTS = [  # by forecast, measured, marginal price
    ("GREEN", "GREEN", None),
    ("YELLOW", "GREEN", 120_000),
    ("YELLOW", "RED", 150_000),
    ("YELLOW", "RED", 150_000),
    ("RED", None, None),
    ("GREEN", "GREEN", None),
]
WITHOUT, WITH = [80.0, 120.0, 140.0, 150.0, 130.0, 70.0], [80.0, 99.0, 104.0, 103.0, 98.0, 72.0]


def series() -> list[dict[str, Any]]:
    return [
        {
            "interval": FIRST + place * U,
            "phase": phase,
            "measured_phase": measured,
            "loading_with_percent": WITH[place],
            "loading_without_percent": WITHOUT[place],
            "marginal_price_ueur_kwh": price,
        }
        for place, (phase, measured, price) in enumerate(LIGHTS)
    ]


@pytest.fixture
def drawn() -> Iterator[Figure]:
    figure = figure_of(report_with(series()))
    yield figure
    pyplot.close(figure)


def spans(axes: Axes) -> list[tuple[str, int, int]]:
    """Colour, first interval and number of intervals of each span, counted from the first interval drawn."""
    step = timedelta(seconds=U) / timedelta(days=1)
    found = []
    for patch in axes.patches:
        if isinstance(patch, Rectangle):
            start = dates.num2date(patch.get_x()).timestamp() - FIRST
            found.append((to_hex(patch.get_facecolor()), round(start / U), round(patch.get_width() / step)))
    return found


def stepped(axes: Axes) -> list[StepPatch]:
    return [patch for patch in axes.patches if isinstance(patch, StepPatch)]


def test_the_light_by_forecast_is_one_band_for_each_run_of_a_phase_in_both_axes(drawn: Figure) -> None:
    bands = [
        (BAND_COLOURS["GREEN"], 0, 1),
        (BAND_COLOURS["YELLOW"], 1, 3),
        (BAND_COLOURS["RED"], 4, 1),
        (BAND_COLOURS["GREEN"], 5, 1),
    ]
    loading, price = drawn.axes
    assert spans(price) == bands
    assert spans(loading)[: len(bands)] == bands


def test_what_was_measured_red_is_a_strip_over_the_loading_only(drawn: Figure) -> None:
    loading, price = drawn.axes
    assert [span for span in spans(loading) if span[0] == MEASURED_RED] == [(MEASURED_RED, 2, 2)]
    assert MEASURED_RED not in {colour for colour, *_ in spans(price)}
    [strip] = [patch for patch in loading.patches if isinstance(patch, Rectangle) and patch.get_height() < 1]
    assert strip.get_height() == pytest.approx(STRIP_SHARE)


def test_both_loadings_and_the_price_are_the_reports_own_figures(drawn: Figure) -> None:
    loading, price = drawn.axes
    lines = {str(patch.get_label()): list(patch.get_data().values) for patch in stepped(loading)}
    assert lines == {"without the market": WITHOUT, "with the market": WITH}
    [prices] = [patch.get_data().values for patch in stepped(price)]
    assert [None if cents != cents else cents for cents in prices] == [None, 12.0, 15.0, 15.0, None, None]
    assert "cent/kWh" in price.get_ylabel()
    assert "%" in loading.get_ylabel()


def test_the_legend_names_every_line_and_every_band(drawn: Figure) -> None:
    [legend] = drawn.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "without the market",
        "with the market",
        "limit",
        "GREEN by forecast",
        "YELLOW by forecast",
        "RED by forecast",
        "RED as measured",
    ]
