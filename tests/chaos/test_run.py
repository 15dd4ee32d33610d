"""What a run leaves in chaos.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scripts.chaos.judge import Verdict
from scripts.chaos.options import ChaosOptions
from scripts.chaos.run import ChaosResult

FAULTS = {"freeze market": 4, "kill agent": 62, "kill market": 15, "queue lost broker": 7, "two down validator": 1}


def result(*, verdict: Verdict | None = None, not_back: tuple[str, ...] = ()) -> ChaosResult:
    found: dict[str, Any] = {"recovered": {}, "ended_by_themselves": {}, "left_out": {}, "counts": {}, "seconds": 7.4}
    options = ChaosOptions(Path("nowhere"), minutes=10, seed=3)
    return ChaosResult(
        options=options, verdict=verdict or Verdict((), (), ()), faults=FAULTS, not_back=not_back, **found
    )


def test_kills_are_counted_by_who_was_killed_and_other_faults_are_none() -> None:
    document = result().document()
    assert document["kills"] == {"kill agent": 62, "kill market": 15, "queue lost broker": 7, "two down validator": 1}
    assert document["kills_in_all"] == 85
    assert document["faults"] == FAULTS
    assert (document["seed"], document["duration_s"]) == (3, 7)


@pytest.mark.parametrize(
    ("verdict", "not_back"),
    [
        (Verdict(("a bid",), (), ()), ()),
        (Verdict((), ("a reading",), ()), ()),
        (Verdict((), (), ("a cent",)), ()),
        (Verdict((), (), ()), ("the market is not back after 240 s",)),
    ],
)
def test_one_finding_of_any_kind_is_enough_for_the_run_to_fail(verdict: Verdict, not_back: tuple[str, ...]) -> None:
    assert result().holds
    failed = result(verdict=verdict, not_back=not_back)
    assert not failed.holds
    document = failed.document()
    assert len(document["findings"]) == document["lost"] + document["doubled"] + document["unaccounted"]
    assert len(document["findings"]) + len(document["not_back"]) == 1
