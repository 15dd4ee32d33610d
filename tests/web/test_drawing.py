"""What the page draws of a small market: both loadings, the light in all its kinds, what became of each bid."""

from __future__ import annotations

import pytest
from playwright.async_api import Page

from market.domain.intervals import day_of
from market.domain.products import Phase, SignalKind
from market.domain.records import BidRecord
from market.domain.traffic_light import Cause
from tests.chain.world import U, before
from tests.cli.conftest import Room
from tests.conftest import TEST_EPOCH
from tests.market.lights import set_light
from tests.web.browser import page_of

pytestmark = pytest.mark.browser

T = TEST_EPOCH + 8 * U
LAST = day_of(TEST_EPOCH, "Europe/Rome").end_s - U
_WIDTHS = """chart => {
    const svg = document.querySelector(chart)
    return [svg.viewBox.baseVal.width, svg.clientWidth]
}"""


async def count(page: Page, selector: str) -> int:
    return await page.locator(selector).count()


async def text(page: Page, selector: str) -> str:
    return " ".join((await page.locator(selector).text_content() or "").split())


async def test_the_page_of_a_day_that_is_over_still_shows_that_day(room: Room) -> None:
    set_light(room, LAST - U, Phase.YELLOW, 120.0, cause=Cause.FORECAST_BROKEN)
    set_light(room, LAST - U, Phase.RED, 110.0, sequence=2, cause=Cause.STILL_BROKEN_AFTER_MARKET)
    set_light(room, LAST, Phase.YELLOW, 104.0)
    set_light(room, LAST, Phase.RED, 106.0, kind=SignalKind.ACTUAL)
    room.world.at(LAST + 6 * U)
    async with page_of(room.url) as page:
        assert await count(page, "#loading-chart rect.band.RED") == 1
        assert await count(page, "#loading-chart rect.band.YELLOW") == 1
        assert await count(page, "#loading-chart rect.measured-red") == 1
        for line in ("forecast", "actual"):
            assert await page.locator(f"#loading-chart path.{line}").get_attribute("d")
        assert await count(page, "#loading-chart line.now") == 0, "the day shown is over"
        assert await page.locator(".lamp.on").get_attribute("data-phase") == "RED"
        assert await text(page, "#phase") == "RED at 23:45"
        assert (await text(page, "#basis")).startswith("by measurement; the last interval assessed")
        assert await text(page, "#reason") == "ACTUAL RED"
        label = await page.locator("#loading-chart svg").get_attribute("aria-label")
    assert "forecast without dispatch up to 120 %, measured up to 106 %" in (label or "")


async def test_every_bid_is_drawn_as_what_became_of_it_up_to_the_cut(room: Room) -> None:
    clear_an_auction(room)
    async with page_of(room.url) as page:
        bars = {
            state: await count(page, f"#auction-chart rect.step.{state}")
            for state in ("won", "passed", "lost", "rejected")
        }
        marks = [await count(page, f"#auction-chart {mark}") for mark in ("line.limit", "line.asked", "circle.cut")]
        words = await text(page, "#auction-words")
    # At 10 cent 1500 Wh win whole; the 500 Wh left are less than the bid at 20 cent needs; that at 30 cent wins them.
    assert bars == {"won": 2, "passed": 1, "lost": 1, "rejected": 0}
    assert marks == [1, 1, 1]
    assert words == (
        "Asked 2.0 kWh, awarded 2.0 kWh to 2 of 3 bids at up to 30.00 cent/kWh; limit price 40.00 cent/kWh."
    )


async def test_a_phone_shows_the_charts_in_its_own_width_with_text_of_full_size(room: Room) -> None:
    clear_an_auction(room)
    async with page_of(room.url, width=390) as page:
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        for chart in ("#loading-chart svg", "#auction-chart svg"):
            await page.locator(chart).wait_for()  # laid out, not only in the page
            # Looked up and measured in one step: the page may draw it anew at any time.
            drawn, shown = await page.evaluate(_WIDTHS, chart)
            assert abs(drawn - shown) <= 1, "nothing is scaled down"


def clear_an_auction(room: Room) -> None:
    world = room.world
    world.at(before(T, 410))
    world.anchor(T, [0, 0, 0, 0])
    world.at(before(T, 300))
    room.market.index()
    set_light(room, T, Phase.YELLOW, 120.0)
    request = world.request(T, [2000])
    world.at(before(T, 275))
    offer = world.offer(T, 2000, request)
    world.at(before(T, 145))
    records = [
        BidRecord(100_000, 1500, 0, 0),
        BidRecord(200_000, 1500, 1500, 1),
        BidRecord(300_000, 800, 0, 2),
    ]
    world.post(offer, [world.wire(offer, record) for record in records])
    world.at(before(T, 120))
    world.clear(offer)
    room.market.index()
    world.at(T)
