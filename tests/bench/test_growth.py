"""The line through figures: exact where they lie on one, and honest about the figure that is farthest off."""

from __future__ import annotations

import pytest

from scripts.bench.gas.growth import fit
from scripts.bench.gas.plan import SIZES


def test_figures_on_a_line_give_that_line() -> None:
    line = fit([(n, 50_000 + 430.0 * n) for n in (10, 100, 1000, 10_000)])
    assert line.slope == pytest.approx(430)
    assert line.start == pytest.approx(50_000)
    assert line.worst == pytest.approx(0, abs=1e-9)


def test_the_largest_size_below_a_limit_is_on_the_line() -> None:
    line = fit([(10, 1_100.0), (100, 2_000.0)])
    assert line.largest_below(1_999) == 99
    assert line.largest_below(2_000.001) == 100


def test_a_bend_shows_in_the_worst_deviation_wherever_it_is() -> None:
    straight = {n: 1_000.0 * n for n in SIZES}
    for bent in straight:
        line = fit([(n, value * (1.3 if n == bent else 1)) for n, value in straight.items()])
        assert line.worst > 0.04  # most of a bend at the smallest sizes goes into the line's start


def test_quadratic_growth_is_no_line() -> None:
    assert fit([(n, float(n * n)) for n in (10, 100, 1000, 10_000)]).worst > 0.5


def test_one_size_is_too_few() -> None:
    with pytest.raises(ValueError, match="two sizes"):
        fit([(10, 1.0), (10, 2.0)])
