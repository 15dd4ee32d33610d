"""The outbox ends when it is told to."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway_agent.buffer import Buffer
from gateway_agent.outbox import Outbox
from oracle.messages import Channel


@pytest.mark.parametrize("turns", range(5))
async def test_a_line_that_breaks_just_when_there_is_something_to_send_ends_the_outbox(
    tmp_path: Path, turns: int
) -> None:
    """asyncio.wait_for of Python 3.11 forgets that it was cancelled when what it waits for is there at the same moment:
    the outbox talked on, over a line that was gone, and the gateway never connected again."""
    buffer = Buffer(tmp_path / "buffer.sqlite")
    outbox = Outbox(buffer)

    async def publish(channel: Channel, payload: bytes, retain: bool) -> None: ...

    talk = asyncio.create_task(outbox.talk(publish))
    await asyncio.sleep(0.05)
    outbox.wake()
    for _ in range(turns):
        await asyncio.sleep(0)
    talk.cancel()
    await asyncio.wait([talk], timeout=1)
    assert talk.done()
    assert talk.cancelled()
    buffer.close()
