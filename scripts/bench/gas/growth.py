"""Whether gas grows in proportion to the number of bids: a line through the figures, and how far they are off it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """value = start + slope x n, by least squares of the relative deviations.

    worst: the largest deviation of a figure from the line, as a share of the figure.
    """

    start: float
    slope: float
    worst: float

    def largest_below(self, value: float) -> int:
        """The largest n whose value on the line is not above one."""
        return int((value - self.start) / self.slope)


def fit(points: Sequence[tuple[int, float]]) -> Line:
    """The line through figures of at least two sizes. ValueError for fewer.

    Each deviation counts relative to its figure: else 10,000 bids would decide alone, and a bend at 10 be overlooked.
    """
    if len({n for n, _ in points}) < 2:
        raise ValueError("a line needs figures of two sizes")
    weights = [1 / value**2 for _, value in points]
    total = sum(weights)
    mean_n = sum(weight * n for weight, (n, _) in zip(weights, points, strict=True)) / total
    mean_value = sum(weight * value for weight, (_, value) in zip(weights, points, strict=True)) / total
    spread = sum(weight * (n - mean_n) ** 2 for weight, (n, _) in zip(weights, points, strict=True))
    covered = sum(
        weight * (n - mean_n) * (value - mean_value) for weight, (n, value) in zip(weights, points, strict=True)
    )
    slope = covered / spread
    start = mean_value - slope * mean_n
    return Line(start, slope, max(abs(start + slope * n - value) / value for n, value in points))
