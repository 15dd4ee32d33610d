"""The calendar: moments in their order, deadlines as the contracts compute them, local days of 92, 96 and 100."""

from __future__ import annotations

import re
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.calendar import Calendar, Moment
from market.domain.intervals import (
    day_of,
    days_from,
    from_iso,
    interval_of,
    intervals_between,
    is_interval,
    iso,
    local_day,
    next_interval,
)

T = 1_780_000_200
UNITS = st.sampled_from([1, 7, 20, 60, 97, 900])


@pytest.mark.parametrize(
    ("day", "count"),
    [(date(2026, 3, 29), 92), (date(2026, 10, 25), 100), (date(2026, 7, 1), 96), (date(2026, 12, 31), 96)],
)
def test_a_local_day_has_92_96_or_100_intervals(day: date, count: int) -> None:
    found = local_day(day)
    assert len(found.intervals()) == count
    assert {day_of(interval).day for interval in found.intervals()} == {day}


def test_consecutive_days_join_without_gap() -> None:
    days = days_from(date(2026, 3, 28))
    run = [next(days) for _ in range(300)]
    assert all(one.end_s == other.start_s for one, other in pairwise(run))
    assert sum(len(one.intervals()) for one in run[:3]) == 96 + 92 + 96


@given(st.integers(0, 2**32 - 1), UNITS)
def test_an_interval_contains_its_moments(at_s: int, unit_s: int) -> None:
    interval = interval_of(at_s, unit_s)
    assert interval <= at_s < next_interval(at_s, unit_s) == interval + unit_s
    assert interval == 0 or is_interval(interval, unit_s)
    assert len(intervals_between(interval, interval + 3 * unit_s, unit_s)) == 3


def test_moments_of_a_quarter_hour_are_those_of_the_protocol() -> None:
    calendar = Calendar()
    assert calendar.at(Moment.GATE_CLOSURE, T) == T - 1260
    assert calendar.at(Moment.OFFER_OPENED, T) == T - 2475
    assert calendar.at(Moment.LEASE_ENDS, T) == calendar.lease_end(T) == T + 960
    assert calendar.at(Moment.SETTLED, T) == T + 1200
    assert calendar.latest_gate_closure(T, internal=True) == T - 3105
    assert calendar.reclaimable_at(T) == T - 1710
    assert calendar.reading_deadline(T) == T + 86_400


@given(UNITS)
def test_a_deadline_is_rounded_once_as_in_the_contracts(unit_s: int) -> None:
    calendar = Calendar(unit_s, 4 * unit_s)
    assert calendar.at(Moment.GATE_CLOSURE, T) == T - unit_s * 140 // 100 == calendar.before(T, 140)
    gate = calendar.latest_gate_closure(T)
    assert calendar.clearing_deadline(gate) == gate + unit_s * 40 // 100
    assert calendar.clearing_again_deadline(gate) == gate + unit_s * 45 // 100
    assert calendar.earliest_gate_closure(gate) == gate + unit_s * 50 // 100


@pytest.mark.parametrize("internal", [False, True])
@given(unit_s=UNITS)
def test_moments_never_stand_in_another_order(internal: bool, unit_s: int) -> None:
    moments = Calendar(unit_s, 4 * unit_s).moments_of(T, internal=internal)
    market = [moment for moment in Moment if not internal or moment not in _DSO_MOMENTS]
    assert all(moments[one] <= moments[other] for one, other in pairwise(market))


_DSO_MOMENTS = {Moment.REQUEST_PUBLISHED, Moment.RED_DECIDED, Moment.BASELINES_DEADLINE}


@pytest.mark.parametrize("internal", [False, True])
def test_the_planned_moments_keep_the_contracts_deadlines(internal: bool) -> None:
    calendar = Calendar()
    moments = calendar.moments_of(T, internal=internal)
    gate = moments[Moment.GATE_CLOSURE]
    assert calendar.earliest_gate_closure(moments[Moment.OFFER_OPENED]) <= gate
    assert moments[Moment.CLEARED] < calendar.clearing_deadline(gate) == moments[Moment.CLEARING_DEADLINE]
    assert moments[Moment.VERDICT_GIVEN] < calendar.clearing_deadline(gate)
    assert moments[Moment.CLEARED_AGAIN] < calendar.clearing_again_deadline(gate)
    assert moments[Moment.FINALISED] >= calendar.final_at(gate, verdict_rejects=True)
    assert moments[Moment.BASELINES_ANCHORED] < moments[Moment.OFFER_OPENED]


def test_a_result_is_final_at_once_after_a_verdict_that_rejects_nothing() -> None:
    calendar = Calendar()
    assert calendar.final_at(T) == T + 361  # the verdict may come until T + 360
    assert calendar.final_at(T, verdict_rejects=True) == T + 405
    assert calendar.final_at(T, verdict_rejects=True, cleared_again=True) == 0
    assert calendar.final_at(T, verdict_rejects=False) == 0


def test_the_table_of_the_protocol_page_is_the_table_of_the_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    table = page[page.index("## Calendar of an interval") : page.index("## Bids")]
    planned = {-round(100 * float(number)) for number in re.findall(r"T − (\d+(?:\.\d+)?)", table)}
    published = set(Calendar().hundredths().values()) | set(Calendar().hundredths(internal=True).values())
    assert planned <= published


@given(st.integers(0, 2**32 - 1))
def test_iso_moments_survive_and_need_an_offset(at_s: int) -> None:
    assert from_iso(iso(at_s)) == at_s
    assert iso(at_s).endswith("Z")


def test_a_moment_without_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="offset"):
        from_iso("2026-01-01T00:00:00")
