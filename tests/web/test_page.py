"""The live page in a real browser, over a running market."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from scripts.demo.options import DemoOptions
from scripts.demo.run import opened

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def _chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found is not None, "no Chromium is installed: apt-get install chromium"
    return found


async def test_the_page_shows_light_loading_auction_and_trades(tmp_path: Path) -> None:
    options = DemoOptions(tmp_path / "day", first_hour=10, last_hour=14)
    async with opened(options, lambda *_: None) as stage:
        noon = stage.first_interval + 2 * 3600 + 450  # in the middle of a tight quarter-hour
        stage.authority.stop_at(noon)
        await stage.authority.reached(noon)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=_chromium(), args=ARGUMENTS)
            page = await browser.new_page(viewport={"width": 1280, "height": 1180})
            problems: list[str] = []
            page.on("pageerror", lambda problem: problems.append(str(problem)))
            await page.goto(stage.market_url)
            await page.wait_for_selector("#auction-chart rect.step.won")
            await page.wait_for_selector("#trades tr")
            await page.wait_for_selector("#connection[data-state=up]")
            lamp = await page.locator(".lamp.on").get_attribute("data-phase")
            phase, reason = await page.locator("#phase").text_content(), await page.locator("#reason").text_content()
            trades = await page.locator("#trades tr").count()
            bars = await page.locator("#auction-chart rect.step").count()
            lines = [await page.locator(f"#auction-chart line.{name}").count() for name in ("limit", "cut")]
            bands = await page.locator("#loading-chart rect").count()
            await page.screenshot(path=tmp_path / "page.png")
            await browser.close()
    assert not problems
    assert lamp == "YELLOW"
    assert (phase or "").startswith("YELLOW at 12:00")
    assert "%" in (reason or "")
    assert trades > 0
    assert bars > 10
    assert bands > 0
    assert lines == [1, 1], "the limit price, and the quantity where the curve is cut"
