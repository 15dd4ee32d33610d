"""Where the simulated clocks of the tests stand, and one that a test sets."""

from __future__ import annotations

from typing import Final

from market.clock import SystemClock

TEST_EPOCH: Final = 1_780_000_200
"""Time at which test chains stand at first: a multiple of 900 s. [epoch seconds]"""


class SettableClock(SystemClock):
    """Goes on when the test says so, and is set as it says."""

    def __init__(self, at_s: float) -> None:
        self.at_s = at_s
        self.passed_s = 0.0

    def set_by(self, change_s: float) -> None:
        self.at_s += change_s

    def now(self) -> float:
        return self.at_s + self.passed_s

    def steady(self) -> float:
        return 7.0 + self.passed_s
