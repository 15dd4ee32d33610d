"""How long to wait before the next attempt at a connection, so that many who lost it together do not come together."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass
class Backoff:
    """Pauses that grow to a longest one, each chosen at random from nought to the present bound ("full jitter").

    first_s, longest_s: the first and the last bound [s]. A connection that held for less than `steady_s` counts as a
    failed attempt: a broker that lets everybody in and drops them again is not asked ever faster.
    """

    first_s: float
    longest_s: float
    steady_s: float = 5.0
    choose: random.Random = field(default_factory=random.SystemRandom, repr=False)
    _bound_s: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._bound_s = self.first_s

    def held(self, for_s: float) -> None:
        """There was a connection for so long [s]."""
        if for_s >= self.steady_s:
            self._bound_s = self.first_s

    def next_s(self) -> float:
        """The pause before the next attempt [s]."""
        pause_s = self.choose.uniform(0, self._bound_s)
        self._bound_s = min(2 * self._bound_s, self.longest_s)
        return pause_s
