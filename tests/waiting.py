"""Waiting for what other threads and processes do."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(what: Callable[[], object], within_s: float, why: str = "", every_s: float = 0.2) -> float:
    """Wait until something is so; fails, saying why, where it takes longer than `within_s`. How long it took [s]."""
    begun_s = time.monotonic()
    while not what():
        assert time.monotonic() - begun_s < within_s, why
        time.sleep(every_s)
    return time.monotonic() - begun_s
