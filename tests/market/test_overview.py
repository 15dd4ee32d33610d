"""The public page's document: which day it shows, which light, and what of the day's signals counts."""

from __future__ import annotations

from typing import Any

from market.domain.intervals import day_of
from market.domain.products import Phase, SignalKind
from market.domain.traffic_light import Cause
from market.services.overview import overview
from tests.chain.world import NODE, U
from tests.cli.conftest import Room
from tests.conftest import TEST_EPOCH
from tests.market.lights import set_light

ZONE = "Europe/Rome"
LAST = day_of(TEST_EPOCH, ZONE).end_s - U
"""The last interval of the local day on which the tests' chain starts."""
ACTUAL = SignalKind.ACTUAL


def shown(room: Room, at_s: int) -> dict[str, Any]:
    room.world.at(at_s)
    with room.market.reading() as session:
        return overview(room.market, session, NODE)


def row_of(document: dict[str, Any], interval: int) -> dict[str, Any]:
    [row] = [row for row in document["series"] if row["interval"] == interval]
    return dict(row)


def test_a_day_that_is_over_stays_with_its_last_light_until_the_next_day_is_assessed(room: Room) -> None:
    set_light(room, LAST, Phase.YELLOW, 104.0)
    document = shown(room, LAST + 6 * U)
    assert (document["day"]["first"], document["day"]["end"]) == (day_of(LAST, ZONE).start_s, LAST + U)
    assert (document["light"]["interval"], document["light"]["phase"]) == (LAST, Phase.YELLOW)
    assert row_of(document, LAST)["forecast_loading_percent"] == 104.0

    set_light(room, LAST + 7 * U, Phase.GREEN, 20.0)
    document = shown(room, LAST + 7 * U)
    assert document["day"]["first"] == LAST + U
    assert (document["light"]["interval"], document["light"]["phase"]) == (LAST + 7 * U, Phase.GREEN)


def test_a_forecast_of_tomorrow_does_not_hide_today(room: Room) -> None:
    set_light(room, LAST, Phase.YELLOW)
    set_light(room, LAST + U, Phase.GREEN)
    document = shown(room, LAST + 10)
    assert document["day"]["end"] == LAST + U
    assert (document["light"]["interval"], document["light"]["phase"]) == (LAST, Phase.YELLOW)


def test_a_node_that_nobody_has_assessed_shows_the_present_day_without_a_light(room: Room) -> None:
    document = shown(room, LAST + 6 * U)
    assert document["day"]["first"] == LAST + U
    assert document["light"] is None
    assert document["series"] == []


def test_the_highest_sequence_counts_also_where_an_earlier_signal_was_worse(room: Room) -> None:
    set_light(room, LAST, Phase.RED, 140.0, sequence=1)
    set_light(room, LAST, Phase.YELLOW, 120.0, sequence=2)
    set_light(room, LAST, Phase.RED, 130.0, kind=ACTUAL, sequence=1)
    set_light(room, LAST, Phase.GREEN, 90.0, kind=ACTUAL, sequence=2)
    document = shown(room, LAST + 10)
    assert document["light"]["phase"] == Phase.YELLOW
    assert document["light"]["reason"]["text"] == "FORECAST YELLOW"
    row = row_of(document, LAST)
    assert (row["phase"], row["forecast_loading_percent"]) == (Phase.YELLOW, 120.0)
    assert (row["actual_phase"], row["actual_loading_percent"]) == (Phase.GREEN, 90.0)


def test_a_measured_red_is_the_light_with_its_own_reason_and_stands_beside_the_forecast(room: Room) -> None:
    set_light(room, LAST, Phase.YELLOW, 104.0)
    set_light(room, LAST, Phase.RED, 108.0, kind=ACTUAL)
    document = shown(room, LAST + 2 * U)
    light = document["light"]
    assert (light["phase"], light["kind"]) == (Phase.RED, ACTUAL)
    assert light["reason"] == {"text": "ACTUAL RED", "loading_percent": 108.0}
    row = row_of(document, LAST)
    assert (row["phase"], row["actual_phase"]) == (Phase.YELLOW, Phase.RED)


def test_a_red_that_the_market_did_not_solve_keeps_the_forecast_without_dispatch(room: Room) -> None:
    set_light(room, LAST, Phase.YELLOW, 150.0, cause=Cause.FORECAST_BROKEN)
    set_light(room, LAST, Phase.RED, 115.0, sequence=2, cause=Cause.STILL_BROKEN_AFTER_MARKET)
    row = row_of(shown(room, LAST + 10), LAST)
    assert (row["phase"], row["forecast_loading_percent"]) == (Phase.RED, 150.0)
