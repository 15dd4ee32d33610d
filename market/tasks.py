"""Ending asyncio tasks for certain."""

from __future__ import annotations

import asyncio
from typing import Any, Final

_AGAIN_S: Final = 2.0
"""Longer than a goodbye to a peer that answers takes."""


async def ended(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks until all of them have ended; what they returned or raised is for the caller to ask.

    Once is not enough: `asyncio.wait_for`, by which the MQTT library waits, may forget that it was cancelled (until
    Python 3.12), and then the task goes on.
    """
    while waiting := [task for task in tasks if not task.done()]:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting, timeout=_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)
