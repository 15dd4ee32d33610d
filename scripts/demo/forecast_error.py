"""Seeded forecast errors, so that the market plans with what it could have known.

Each error is a factor exp(x - sigma²/2) on what happens, with x an AR(1) process of standard deviation sigma and
correlation phi between quarter-hours. Its mean is 1, zeros stay zeros (no PV at night). The sizes are assumptions for
about an hour ahead, chosen so that the forecast misses the transformer's loading by some percentage points.

| error | phi | sigma | why |
| --- | --- | --- | --- |
| PV, common to the node: clouds | 0.90 | 0.06 | all plants of a node lie under one sky; kept for about 2.5 h |
| PV of one plant | 0.70 | 0.03 | orientation, soiling, own shade |
| load of one connection point | 0.70 | 0.15 | single consumers are hard to foresee; n together err by 0.15 / √n |
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, sqrt
from random import Random
from typing import Final


@dataclass(frozen=True, slots=True)
class ErrorProcess:
    """AR(1): phi is the correlation between steps, sigma the standard deviation."""

    phi: float
    sigma: float


CLOUDS: Final = ErrorProcess(0.90, 0.06)
ONE_PLANT: Final = ErrorProcess(0.70, 0.03)
ONE_LOAD: Final = ErrorProcess(0.70, 0.15)


def error_factors(process: ErrorProcess, steps: int, seed: str) -> tuple[float, ...]:
    """Factors of consecutive steps; the same seed gives the same factors."""
    random = Random(seed)
    x = random.gauss(0.0, process.sigma)
    factors = []
    for _ in range(steps):
        factors.append(exp(x - process.sigma**2 / 2))
        x = process.phi * x + sqrt(1 - process.phi**2) * random.gauss(0.0, process.sigma)
    return tuple(factors)
