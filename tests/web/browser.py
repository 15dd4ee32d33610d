"""The public page in a headless Chromium."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Page, async_playwright

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


@asynccontextmanager
async def page_of(market_url: str, width: int = 1280) -> AsyncIterator[Page]:
    """The page of a market, once it is live; an error in its scripts fails the test."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_chromium(), args=ARGUMENTS)
        page = await browser.new_page(viewport={"width": width, "height": 1180})
        problems: list[str] = []
        page.on("pageerror", lambda problem: problems.append(str(problem)))
        await page.goto(market_url)
        await page.wait_for_selector("#connection[data-state=up]")
        yield page
        await browser.close()
    assert not problems
