"""A day that was stopped goes on in its folder and ends as if nothing had been."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.demo.checker.verdict import check
from scripts.demo.manifest import noted_time, read_manifest
from scripts.demo.run import collect_evidence, opened, play_day
from tests.end_to_end.conftest import CalmDay, part_of_the_day, payments, quiet

pytestmark = [pytest.mark.alone, pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(900)]


async def test_a_resumed_day_pays_what_the_undisturbed_one_does(tmp_path: Path, calm_day: CalmDay) -> None:
    async with opened(part_of_the_day(tmp_path), quiet) as stage:
        # Within an interval, with an auction cleared, another one open and dispatches running.
        moment = stage.first_interval + 5 * 900 + 400
        stage.authority.stop_at(moment)
        await stage.authority.reached(moment)
        ports = stage.ports
    manifest = read_manifest(tmp_path)
    assert (manifest.is_set_up, manifest.ports, noted_time(tmp_path)) == (True, ports, moment)
    async with opened(manifest.options, quiet, manifest) as stage:
        assert stage.authority.start_s == moment
        await play_day(stage, quiet)
        evidence = collect_evidence(stage)
    assert payments(evidence) == payments(calm_day.evidence)
    assert not any(check(evidence).values())
