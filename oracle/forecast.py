"""Forecasts that the oracle nominates baselines from: power of each connection point, by interval, from a file.

The file is that of the node's forecast: {"format", "first_interval", "step_s", "points": [{"nanogrid", "p_w",
"q_var"}, …]}; nanogrid is its id on the chain, power in W and var, load convention. Each value is the mean of its
interval as expected about an hour ahead, with the plant's default behaviour and nobody dispatched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from market.domain.baselines import FORECAST_FORMAT
from market.domain.units import nanogrid_id
from market.plain_words import in_words

_SECONDS_PER_HOUR = 3600


class ForecastUnusable(ValueError):
    """The forecast file is missing or malformed."""


@dataclass(frozen=True, slots=True)
class NanogridForecast:
    """Forecast power by nanogrid."""

    first_interval: int
    step_s: int
    p_w: Mapping[int, Sequence[float]]
    q_var: Mapping[int, Sequence[float]]

    def covers(self, interval: int) -> bool:
        """Whether an interval is not after the last one; before the first one its values hold."""
        steps = max((len(values) for values in self.p_w.values()), default=0)
        return interval < self.first_interval + steps * self.step_s

    def energies(self, portfolio: int, interval: int, count: int, *, reactive: bool = False) -> list[int | None]:
        """Energy of an interval [Wh or varh] by nanogrid index 0 … count − 1, rounded; None where nothing is forecast.

        It ends with the last index that is forecast: empty for a portfolio that the forecast does not know.
        """
        series = self.q_var if reactive else self.p_w
        step = max(0, (interval - self.first_interval) // self.step_s)
        found = [series.get(nanogrid_id(portfolio, index)) for index in range(count)]
        while found and found[-1] is None:
            found.pop()
        return [None if powers is None else round(powers[step] * self.step_s / _SECONDS_PER_HOUR) for powers in found]


def read_forecast(path: Path) -> NanogridForecast:
    """The forecast of a file.

    Raises:
        ForecastUnusable: it is missing, or not in the form that this module describes.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORECAST_FORMAT:
            raise ForecastUnusable(f"{path} has format {document['format']}, not {FORECAST_FORMAT}")
        points = [point for point in document["points"] if point["nanogrid"] is not None]
        return NanogridForecast(
            first_interval=int(document["first_interval"]),
            step_s=int(document["step_s"]),
            p_w={int(point["nanogrid"]): point["p_w"] for point in points},
            q_var={int(point["nanogrid"]): point["q_var"] for point in points},
        )
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ForecastUnusable(f"{path} is no forecast: {in_words(problem)}") from problem
