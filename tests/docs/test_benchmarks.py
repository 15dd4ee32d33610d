"""What the pages say about the network and about faults is what was measured and committed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[2] / "docs"
NETWORK = {row["figure"]: row["value"] for row in json.loads((DOCS / "benchmarks" / "network.json").read_text())}
CHAOS: dict[str, Any] = json.loads((DOCS / "benchmarks" / "chaos.json").read_text())


def row_of(page: str, begin: str) -> str:
    """The second cell of a table's row."""
    found = re.findall(rf"^\| {re.escape(begin)} \| (.+) \|$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) == 1, begin
    return str(found[0])


def test_the_page_of_the_network_says_what_was_measured() -> None:
    assert row_of("network.md", "sent → final") == (
        f"median {NETWORK['seconds_to_final_median']:.1f} s, p99 {NETWORK['seconds_to_final_p99']:.1f} s; "
        f"with one validator down {NETWORK['seconds_to_final_median_with_one_down']:.1f} s and "
        f"{NETWORK['seconds_to_final_p99_with_one_down']:.1f} s"
    )
    assert row_of("network.md", "1,600 bids in batches of 200, sent → final") == (
        f"{round(NETWORK['bids_per_second_to_final'], -1):.0f} bids/s, "
        f"{round(NETWORK['bids_per_second_to_final_with_one_down'], -1):.0f} with one validator down"
    )


def test_the_committed_run_of_faults_lost_and_doubled_nothing_and_left_nothing_out() -> None:
    assert (CHAOS["lost"], CHAOS["doubled"], CHAOS["unaccounted"]) == (0, 0, 0)
    assert CHAOS["findings"] == CHAOS["not_back"] == []
    assert CHAOS["left_out"] == {}
    assert CHAOS["kills_in_all"] == sum(CHAOS["kills"].values())


def test_every_fault_of_the_committed_run_has_its_recovery() -> None:
    assert CHAOS["kills"].items() <= CHAOS["faults"].items()
    times = {kind: figures["n"] for kind, figures in CHAOS["seconds_to_recover"].items()}
    assert times == CHAOS["faults"]
    assert all(figures["median"] <= figures["max"] for figures in CHAOS["seconds_to_recover"].values())
