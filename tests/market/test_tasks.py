"""A task that is told to end ends, also where somebody on its way forgets that it was told."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from market.tasks import ended


async def forgetful(times: int) -> None:
    """Goes on after so many cancellations, as `wait_for` may where its answer comes at the same moment."""
    for _ in range(times):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
    await asyncio.sleep(3600)


@pytest.mark.parametrize("times", [0, 1, 2])
async def test_a_task_that_forgets_its_cancellation_is_cancelled_again(times: int) -> None:
    task = asyncio.create_task(forgetful(times))
    await asyncio.sleep(0)
    await asyncio.wait_for(ended(task), 30)
    assert task.cancelled()


async def test_what_a_task_raised_is_left_to_the_caller() -> None:
    async def fails() -> None:
        raise ValueError("it failed")

    failed, waiting = asyncio.create_task(fails()), asyncio.create_task(asyncio.sleep(3600))
    await asyncio.sleep(0)
    await ended(failed, waiting)
    assert waiting.cancelled()
    with pytest.raises(ValueError, match="it failed"):
        failed.result()
