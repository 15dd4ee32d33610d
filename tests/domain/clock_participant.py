"""A participant of the simulated clock, for the tests: wakes at every multiple of its step and writes down the time.

Usage: clock_participant.py PORT NAME STEP_S END_S LOG [async]. It leaves at its end.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from market.clock import SimulatedClock


def note(log: Path, at_s: float) -> None:
    with log.open("a") as lines:
        lines.write(f"{at_s:g}\n")
        lines.flush()
        os.fsync(lines.fileno())


def wake_ups(clock: SimulatedClock, step_s: int, end_s: int) -> range:
    first = int(clock.now()) // step_s * step_s + step_s
    return range(first, end_s + 1, step_s)


def run(clock: SimulatedClock, step_s: int, end_s: int, log: Path) -> None:
    for at_s in wake_ups(clock, step_s, end_s):
        clock.wait_until(at_s)
        note(log, clock.now())


async def run_async(clock: SimulatedClock, step_s: int, end_s: int, log: Path) -> None:
    for at_s in wake_ups(clock, step_s, end_s):
        await clock.sleep_until(at_s)
        note(log, clock.now())


def main() -> None:
    port, name, step_s, end_s, log = sys.argv[1:6]
    clock = SimulatedClock("127.0.0.1", int(port), name, os.environ["CLOCK_TOKEN"])
    if "async" in sys.argv[6:]:
        asyncio.run(run_async(clock, int(step_s), int(end_s), Path(log)))
    else:
        run(clock, int(step_s), int(end_s), Path(log))
    clock.leave()


if __name__ == "__main__":
    main()
