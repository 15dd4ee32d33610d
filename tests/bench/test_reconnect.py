"""A thousand gateways lose their broker at once: all come back, and every reading is stored once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from scripts.bench.reconnect.storm import play

GATEWAYS = 1_000
BACK_WITHIN_S = 90.0
"""On a machine that has much else to do; the gateways' own processors are all this one."""


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.processes
@pytest.mark.timeout(900)
async def test_a_thousand_gateways_come_back_together_and_no_reading_is_lost(tmp_path: Path) -> None:
    outcome = await play(tmp_path, GATEWAYS, [(0.0, signal.SIGKILL)])
    assert (outcome.lost, outcome.doubled, outcome.waiting) == (0, 0, 0)
    assert outcome.readings == 2 * GATEWAYS, "one before, one while the broker was away"
    [back] = outcome.returns
    assert len(back.back_s) == GATEWAYS
    assert back.back_s[-1] < BACK_WITHIN_S
    # How far the pauses spread them is the machine's affair; here it counts that none was turned away again and again.
    assert back.connections < 1.5 * GATEWAYS
