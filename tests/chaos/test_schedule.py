"""Faults are drawn before anything runs: the same seed gives the same run."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scripts.chaos.options import LONG_S, SHORT_S, ChaosOptions, groups_of
from scripts.chaos.schedule import REST_S, Group, Kind, schedule

GROUPS = [
    Group(("market",), {Kind.KILL: 3, Kind.FREEZE: 1}, 10),
    Group(("a", "b", "c"), {Kind.KILL: 1}, 5),
]


@given(st.integers(0, 2**32), st.floats(60, 3600))
def test_a_seed_always_gives_the_same_faults(seed: int, duration_s: float) -> None:
    assert schedule(seed, duration_s, GROUPS, SHORT_S) == schedule(seed, duration_s, GROUPS, SHORT_S)


@given(st.integers(0, 2**32))
def test_a_longer_run_begins_with_the_faults_of_a_shorter_one(seed: int) -> None:
    short, long = (schedule(seed, duration_s, GROUPS, SHORT_S) for duration_s in (300, 900))
    assert [each for each in long if each in short] == short


@given(st.integers(0, 2**32))
@example(43_357_077)  # one ended by the last hundredth of a second, and was rounded up
def test_every_fault_is_mended_before_the_end_and_before_the_next_of_its_group(seed: int) -> None:
    faults = schedule(seed, 600, GROUPS, SHORT_S)
    assert all(each.at_s >= 0 and each.at_s + each.lasts_s < 600 for each in faults)
    for group in GROUPS:
        own = [each for each in faults if each.target in group.targets]
        assert all(after.at_s - (before.at_s + before.lasts_s) >= REST_S - 0.02 for before, after in pairwise(own))


@given(st.integers(0, 2**32))
def test_a_fault_is_of_a_kind_and_a_length_that_its_group_has(seed: int) -> None:
    for fault in schedule(seed, 600, GROUPS, SHORT_S):
        [group] = [each for each in GROUPS if fault.target in each.targets]
        shortest_s, longest_s = SHORT_S[fault.kind]
        assert fault.kind in group.kinds
        assert shortest_s - 0.01 <= fault.lasts_s <= longest_s + 0.01


def test_a_long_run_has_every_kind_of_fault(tmp_path: Path) -> None:
    options = ChaosOptions(tmp_path, minutes=65)
    faults = schedule(options.seed, options.minutes * 60, groups_of(options), LONG_S)
    assert {each.kind for each in faults} == set(Kind)
    targets = {each.target for each in faults}
    assert targets == {target for group in groups_of(options) for target in group.targets}


@pytest.mark.parametrize("lasting_s", [SHORT_S, LONG_S])
def test_every_kind_has_its_length(lasting_s: dict[Kind, tuple[float, float]]) -> None:
    assert set(lasting_s) == set(Kind)


def test_every_target_is_struck_in_one_group_only(tmp_path: Path) -> None:
    """The aggregator's desk and its validator bore one name once, and the validator was killed for both."""
    targets = [target for group in groups_of(ChaosOptions(tmp_path, minutes=5)) for target in group.targets]
    assert len(targets) == len(set(targets))
