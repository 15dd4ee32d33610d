"""How often each may call: a bucket of calls that fills steadily, kept as the one moment at which it is full again.

Source: the generic cell rate algorithm (ITU-T I.371), which admits what a token bucket admits.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from math import ceil
from typing import Final

from market.domain.errors import Category, MeritgridError

_MOST_KEPT: Final = 100_000
"""Callers that are remembered; beyond them the one that has not called for longest is forgotten: it has a full bucket
again anyway, unless more than these have called within the time that a bucket needs to fill."""


class TooManyCalls(MeritgridError):
    """A caller has called too often. wait_s: when the next call is taken [s]."""

    def __init__(self, who: str, wait_s: float) -> None:
        self.wait_s = max(1, ceil(wait_s))
        sentence = f"{who} calls too often. Wait {self.wait_s} s."
        super().__init__(
            "too-many-requests", "Too many requests", sentence, {"wait_s": self.wait_s}, Category.UNAVAILABLE
        )


@dataclass(frozen=True, slots=True)
class Rate:
    """per_s: calls per second that are admitted for ever; burst: calls that are admitted at once after a rest."""

    per_s: float
    burst: int

    def __post_init__(self) -> None:
        if self.per_s <= 0 or self.burst < 1:
            raise ValueError(f"a rate needs a positive number per second and a burst of 1 or more, not {self}")


class Buckets:
    """A bucket for each caller, by whatever names it. Several threads may use it."""

    def __init__(self, rate: Rate, most_kept: int = _MOST_KEPT) -> None:
        self._interval_s = 1 / rate.per_s
        self._tolerance_s = (rate.burst - 1) / rate.per_s
        self._most_kept = most_kept
        self._full_at_s: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, caller: str, now_s: float) -> float:
        """Take a call out of a caller's bucket: 0, or how long it must wait for one [s]. A refusal takes nothing.

        now_s: of a clock that never goes back.
        """
        with self._lock:
            full_at_s = max(self._full_at_s.get(caller, now_s), now_s)
            wait_s = full_at_s - self._tolerance_s - now_s
            if wait_s > 0:
                return wait_s
            self._full_at_s[caller] = full_at_s + self._interval_s
            self._full_at_s.move_to_end(caller)
            while len(self._full_at_s) > self._most_kept:
                self._full_at_s.popitem(last=False)
            return 0.0
