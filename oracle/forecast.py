"""Forecasts that the oracle nominates baselines from: power of each connection point, by interval, from a file.

The file is that of the node's forecast: {"first_interval", "step_s", "points": [{"nanogrid", "p_w", "q_var"}, …]};
nanogrid is the index in the portfolio, power in W and var, load convention. Each value is the mean of its interval as
expected about an hour ahead, with the plant's default behaviour and nobody dispatched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SECONDS_PER_HOUR = 3600


class ForecastUnusable(ValueError):
    """The forecast file is missing or malformed."""


@dataclass(frozen=True, slots=True)
class PortfolioForecast:
    """Forecast power by nanogrid index."""

    first_interval: int
    step_s: int
    p_w: Mapping[int, Sequence[float]]
    q_var: Mapping[int, Sequence[float]]

    def covers(self, interval: int) -> bool:
        """Whether an interval is not after the last one; before the first one its values hold."""
        steps = max((len(values) for values in self.p_w.values()), default=0)
        return interval < self.first_interval + steps * self.step_s

    def energies(self, interval: int, count: int, *, reactive: bool = False) -> list[int]:
        """Energy of an interval [Wh or varh] by nanogrid index 0 … count − 1, rounded; 0 where nothing is forecast."""
        series = self.q_var if reactive else self.p_w
        step = max(0, (interval - self.first_interval) // self.step_s)
        return [
            round(series[index][step] * self.step_s / _SECONDS_PER_HOUR) if index in series else 0
            for index in range(count)
        ]


def read_forecast(path: Path) -> PortfolioForecast:
    """The forecast of a file.

    Raises:
        ForecastUnusable: it is missing, or not in the form that this module describes.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        points = [point for point in document["points"] if point["nanogrid"] is not None]
        return PortfolioForecast(
            first_interval=int(document["first_interval"]),
            step_s=int(document["step_s"]),
            p_w={int(point["nanogrid"]): point["p_w"] for point in points},
            q_var={int(point["nanogrid"]): point["q_var"] for point in points},
        )
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ForecastUnusable(f"{path} is no forecast: {problem}") from problem
