"""The live page in a real browser, over a running market."""

from __future__ import annotations

from pathlib import Path

import pytest

from market.store.database import open_engine, session_scope
from market.store.work import Transaction, TransactionState
from scripts.demo.options import DemoOptions
from scripts.demo.run import opened
from scripts.demo.stage import Stage
from tests.web.browser import page_of

pytestmark = [pytest.mark.browser, pytest.mark.alone, pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]


def let_one_wait(stage: Stage) -> None:
    """A transaction that the chain has not taken in for a minute, as where two validators are down."""
    engine = open_engine(f"sqlite:///{stage.layout.database}")
    with session_scope(engine) as session:
        session.add(
            Transaction(
                sender="0x" + "01" * 20, nonce=0, chain_id=31337, to="0x" + "02" * 20, data=b"", raw=b"",
                hash="0x" + "03" * 32, gas_limit=1, max_fee_wei=1, state=TransactionState.SENT, purpose="test",
                purpose_key="waits", created_at=int(stage.authority.now) - 60,
            )
        )  # fmt: skip
    engine.dispose()


async def test_the_page_shows_light_loading_auction_and_trades(tmp_path: Path) -> None:
    options = DemoOptions(tmp_path / "day", first_hour=10, last_hour=14)
    async with opened(options, lambda *_: None) as stage:
        noon = stage.first_interval + 2 * 3600 + 450  # in the middle of a tight quarter-hour
        stage.authority.stop_at(noon)
        await stage.authority.reached(noon)
        async with page_of(stage.market_url) as page:
            await page.wait_for_selector("#auction-chart rect.step.won")
            await page.wait_for_selector("#trades tr")
            await page.wait_for_selector("#connection[data-state=up]")
            lamp = await page.locator(".lamp.on").get_attribute("data-phase")
            phase, reason = await page.locator("#phase").text_content(), await page.locator("#reason").text_content()
            trades = await page.locator("#trades tr").count()
            bars = await page.locator("#auction-chart rect.step").count()
            lines = [await page.locator(f"#auction-chart line.{name}").count() for name in ("limit", "cut")]
            bands = await page.locator("#loading-chart rect").count()
            legend = await page.locator(".loading .legend").text_content()
            await page.screenshot(path=tmp_path / "page.png", full_page=True)
            assert await page.locator("#standstill").is_hidden()
            let_one_wait(stage)
            await page.wait_for_selector("#standstill:not([hidden])")
            standstill = await page.locator("#standstill").text_content()
            await page.screenshot(path=tmp_path / "standstill.png")
    assert (standstill or "").startswith("Trading stands still: the chain has taken nothing in since 12:0")
    assert lamp == "YELLOW"
    assert (phase or "").startswith("YELLOW at 12:00")
    assert "%" in (reason or "")
    assert "the DSO's forecast, without dispatch" in (legend or "")
    assert trades > 0
    assert bars > 10
    assert bands > 0
    assert lines == [1, 1], "the limit price, and the quantity where the curve is cut"
