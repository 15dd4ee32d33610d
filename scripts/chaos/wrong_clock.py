"""Runs `meritgrid` with a clock that is wrong by the seconds in a file: wrong_clock.py FILE COMMAND …

What the process takes for the system's time is moved; how it measures durations is not, as when a clock is set.
"""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path
from typing import Final

_LOOK_EVERY_S: Final = 0.5


def install(path: Path) -> None:
    """Move this process' time by what stands in the file, whenever that changes."""
    right, steady = time.time, time.monotonic
    looked_s, offset_s = steady(), float(path.read_text())

    def wrong() -> float:
        nonlocal looked_s, offset_s
        if steady() - looked_s > _LOOK_EVERY_S:
            looked_s, offset_s = steady(), float(path.read_text())
        return right() + offset_s

    time.time = wrong


if __name__ == "__main__":
    install(Path(sys.argv.pop(1)))
    runpy.run_module("market.cli", run_name="__main__", alter_sys=True)
