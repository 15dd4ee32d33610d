"""Where the simulated clocks of the tests stand."""

from __future__ import annotations

from typing import Final

TEST_EPOCH: Final = 1_780_000_200
"""Time at which test chains stand at first: a multiple of 900 s. [epoch seconds]"""
