"""The clamp order: each limit only narrows what the stronger ones leave."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_agent.safety import Limits, PowerRange, clamp, dwell_range, is_plausible, ramp_range, symmetric

POWERS = st.integers(-200_000, 200_000)
RANGES = st.tuples(POWERS, POWERS).map(lambda pair: PowerRange(min(pair), max(pair)))
LIMITS = st.builds(
    Limits,
    hardware=st.integers(0, 200_000).map(symmetric),
    fuse=st.none() | RANGES,
    storage=st.none() | RANGES,
    ramp=st.none() | RANGES,
    dwell=st.none() | RANGES,
)


@given(wanted_w=POWERS, limits=LIMITS)
def test_the_hardware_rating_holds_whatever_is_wanted(wanted_w: int, limits: Limits) -> None:
    power_w = clamp(wanted_w, limits).power_w
    assert limits.hardware.low_w <= power_w <= limits.hardware.high_w


@given(wanted_w=POWERS, limits=LIMITS)
def test_a_weaker_limit_never_leads_farther_from_a_stronger_one(wanted_w: int, limits: Limits) -> None:
    power_w = clamp(wanted_w, limits).power_w
    allowed = limits.hardware
    for _, found in limits.in_order():
        allowed = allowed.narrowed(found)
        assert allowed.low_w <= power_w <= allowed.high_w


@given(wanted_w=POWERS, limits=LIMITS)
def test_a_power_that_all_limits_allow_is_not_touched(wanted_w: int, limits: Limits) -> None:
    found = clamp(wanted_w, limits)
    if all(each.low_w <= wanted_w <= each.high_w for _, each in limits.in_order()):
        assert found.power_w == wanted_w
        assert found.limited_by == ()


@given(wanted_w=POWERS, limits=LIMITS)
def test_the_owner_reads_why_a_power_was_changed(wanted_w: int, limits: Limits) -> None:
    found = clamp(wanted_w, limits)
    assert bool(found.limited_by) or found.power_w == wanted_w


def test_the_order_is_hardware_fuse_storage_ramp_dwell_award() -> None:
    every = Limits(symmetric(1), symmetric(2), symmetric(3), symmetric(4), symmetric(5))
    names = [name for name, _ in every.in_order()]
    assert names == ["hardware rating", "fuse or grid limit", "state of charge", "ramp", "minimum dwell"]


def test_where_limits_contradict_the_stronger_wins() -> None:
    limits = Limits(hardware=symmetric(5_000), fuse=PowerRange(-3_000, 3_000), storage=PowerRange(4_000, 4_500))
    assert clamp(0, limits).power_w == 3_000


def test_a_ramp_is_counted_from_the_present_set_point() -> None:
    assert ramp_range(1_000, 10, 50) == PowerRange(500, 1_500)
    assert ramp_range(None, 10, 50) is None
    assert ramp_range(1_000, 10, None) is None


def test_a_set_point_dwells() -> None:
    assert dwell_range(700, 59, 60) == PowerRange(700, 700)
    assert dwell_range(700, 60, 60) is None


@pytest.mark.parametrize(("energy_wh", "plausible"), [(1_000, True), (1_500, True), (1_501, False), (-1_501, False)])
def test_energy_beyond_the_connection_is_implausible(energy_wh: int, plausible: bool) -> None:
    assert is_plausible(energy_wh, 0, 3600, 1_000) is plausible
    assert is_plausible(0, energy_wh, 3600, 1_000) is plausible
