"""Whether gas grows in proportion to the number of bids: a line through the figures, and how far they are off it.

Posting has a second law beside the line. A batch pays once for each 256 nanogrids that its bids touch, so bids in
random order cost more in a larger portfolio, up to one such group for each bid and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

INDICES_PER_GROUP: Final = 256
"""Nanogrids whose words a batch reads and stores together (PostCounts)."""


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


@dataclass(frozen=True, slots=True)
class GroupLaw:
    """value = start + slope x n + per_group x groups, by least squares of the relative deviations.

    worst: the largest deviation of a figure from it, as a share of the figure.
    """

    start: float
    slope: float
    per_group: float
    worst: float


def touched_groups(indices: Sequence[int], batch: int) -> int:
    """Groups of nanogrids that the batches of bids touch, summed over the batches."""
    starts = range(0, len(indices), batch)
    return sum(len({index // INDICES_PER_GROUP for index in indices[start : start + batch]}) for start in starts)


def fit_with_groups(points: Sequence[tuple[int, int, float]]) -> GroupLaw:
    """The law through figures given as (n, groups, value). ValueError where they do not determine it."""
    values = np.array([value for *_, value in points])
    terms = np.array([(1, n, groups) for n, groups, _ in points]) / values[:, np.newaxis]
    solved, _, rank, _ = np.linalg.lstsq(terms, np.ones(len(points)))
    if rank < 3 or len(points) < 4:
        raise ValueError("the law needs figures of four sizes that touch different numbers of groups")
    start, slope, per_group = map(float, solved)
    return GroupLaw(start, slope, per_group, float(np.abs(terms @ solved - 1).max()))
