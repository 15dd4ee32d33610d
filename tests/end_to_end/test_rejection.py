"""What the auction gave and the grid cannot bear: the DSO's check rejects it, and the chain clears again without it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandapower as pp
import pytest

from market.domain.records import rejected_positions, unpack_awards, unpack_bids
from scripts.demo.checker.verdict import check
from scripts.demo.extract import GRIDS_FOLDER
from scripts.demo.options import DEFAULT_GRID, DemoOptions
from scripts.demo.run import collect_evidence, opened, play_day, scenario_of

pytestmark = [pytest.mark.alone, pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]

LEAF_BUS, LEAF_LINE = 3, 0
"""A bus at the end of one line, with two nanogrids."""
FIRST_HOUR, LAST_HOUR = 11, 13
SEED = 4
"""With which the battery's owner asks least of all: it is awarded in any auction."""
NOMINAL_KV = 0.4
SPARE = 1.3
"""Rating of the line over what it is expected to carry: the DSO, who keeps 10 % free, needs nothing there itself."""


def _with_a_thin_line(folder: Path) -> Path:
    """The rural grid, but the last house has a battery in place of its PV, and a line that carries little more than
    what it draws at noon: who charges the battery to relieve the transformer overloads that line."""
    grid = folder / "thin line"
    shutil.copytree(GRIDS_FOLDER / DEFAULT_GRID, grid)
    described = json.loads((grid / "extract.json").read_text())
    described["plants"] = [plant for plant in described["plants"] if plant["bus"] != LEAF_BUS]
    described["storages"][0] |= {"bus": LEAF_BUS, "pv_power_w": 0, "power_w": 10_000, "energy_wh": 20_000}
    (grid / "extract.json").write_text(json.dumps(described))
    net = pp.from_json(str(grid / "grid.json"))
    net.line.loc[LEAF_LINE, "max_i_ka"] = SPARE * _drawn_w(grid) / 1e6 / (3**0.5 * NOMINAL_KV)
    pp.to_json(net, str(grid / "grid.json"))
    return grid


def _drawn_w(grid: Path) -> float:
    """The most that the leaf is expected to draw within the hours that are played [VA]."""
    scenario = scenario_of(DemoOptions(grid.parent, grid=str(grid), seed=SEED))
    at_leaf = [nanogrid.forecast for nanogrid in scenario.nanogrids if nanogrid.bus == LEAF_BUS]
    steps = range(FIRST_HOUR * 4, LAST_HOUR * 4)
    return max(
        sum((series.load_w[step] ** 2 + series.load_var[step] ** 2) ** 0.5 for series in at_leaf) for step in steps
    )


async def test_an_award_that_would_break_another_limit_is_rejected_and_the_rest_is_cleared_again(
    tmp_path: Path,
) -> None:
    grid = _with_a_thin_line(tmp_path)
    options = DemoOptions(
        tmp_path / "day", grid=str(grid), seed=SEED, first_hour=FIRST_HOUR, last_hour=LAST_HOUR, faults=False
    )
    async with opened(options, lambda *_: None) as stage:
        await play_day(stage, lambda *_: None)
        evidence = collect_evidence(stage)
    at_leaf = {nanogrid.index for nanogrid in stage.scenario.nanogrids if nanogrid.bus == LEAF_BUS}
    posted: dict[str, bytes] = {}
    for event in evidence.named("BidsPosted"):
        offer = event.arguments["offer"]
        posted[offer] = posted.get(offer, b"") + bytes.fromhex(event.arguments["records"][2:])
    verdicts = evidence.named("VerdictGiven")
    assert verdicts, "somebody at the thin line was awarded"
    cleared_again = {event.arguments["offer"] for event in evidence.named("Cleared") if event.arguments["again"]}
    final = {event.arguments["offer"]: event.arguments["awards"] for event in evidence.named("Finalised")}
    frozen: set[str] = set()
    for verdict in verdicts:
        offer = verdict.arguments["offer"]
        rejected = rejected_positions(bytes.fromhex(verdict.arguments["rejected"][2:]))
        bids = unpack_bids(posted[offer])
        assert {bid.record.index for bid in bids if bid.position in rejected} <= at_leaf
        assert offer in cleared_again
        if offer not in final:
            frozen.add(offer)  # without the rejected one the rest is not enough: RED
            continue
        awards = unpack_awards(bytes.fromhex(final[offer][2:]))
        assert awards, "the others' flexibility still counts"
        assert rejected.isdisjoint(award.position for award in awards)
    interval_of = {event.arguments["offer"]: event.arguments["interval"] for event in evidence.named("OfferOpened")}
    red = {event.arguments["interval"] for event in evidence.named("SignalSet") if event.arguments["phase"] == 2}
    assert {interval_of[offer] for offer in frozen} <= red
    assert len(frozen) < len(verdicts), "at least one is final without what was rejected"
    assert not any(check(evidence).values())
