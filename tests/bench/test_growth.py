"""The line through figures: exact where they lie on one, and honest about the figure that is farthest off."""

from __future__ import annotations

import pytest

from scripts.bench.gas.growth import fit, fit_with_groups, touched_groups
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


POINTS = [
    (n, groups, 100_000 + 8_000.0 * n + 11_000 * groups) for n, groups in ((10, 1), (500, 4), (2000, 40), (10_000, 987))
]


def test_figures_that_follow_the_law_give_that_law() -> None:
    law = fit_with_groups(POINTS)
    assert (law.start, law.slope, law.per_group) == pytest.approx((100_000, 8_000, 11_000))
    assert law.worst == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("bent", [500, 2000, 10_000])
def test_what_the_groups_do_not_explain_shows_in_the_worst_deviation(bent: int) -> None:
    more = [(100, 1, 911_000.0), (1000, 12, 8_232_000.0)]  # these follow the law
    points = [(n, groups, value * (1.3 if n == bent else 1)) for n, groups, value in POINTS]
    assert fit_with_groups(points + more).worst > 0.03


def test_a_law_of_groups_needs_groups() -> None:
    with pytest.raises(ValueError, match="four sizes"):
        fit_with_groups([(n, 1, value) for n, _, value in POINTS])


def test_each_batch_pays_for_its_own_groups() -> None:
    assert touched_groups([0, 255, 256, 1, 2], batch=2) == 1 + 2 + 1
    assert touched_groups([], batch=2) == 0
