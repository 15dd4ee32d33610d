"""When a part is back: asked of the market itself, and of what it has written down."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from market.store.facts import GatewayStatus

Probe = Callable[[], Awaitable[bool]]

_POLL_S: Final = 0.25
_STABLE_S: Final = 2.0
"""Back is who is still back after so long."""


class NotBack(Exception):
    """A part has not come back in time."""


async def seconds_until(back: Probe, since_s: float, within_s: float, what: str) -> float:
    """Seconds from `since_s` (monotonic) until the probe says yes, and says it again a moment later.

    Raises:
        NotBack: it does not within `within_s`.
    """
    while True:
        if await back():
            found_s = time.monotonic()
            await asyncio.sleep(_STABLE_S)
            if await back():
                return found_s - since_s
        if time.monotonic() - since_s > within_s:
            raise NotBack(f"{what} is not back after {within_s:.0f} s")
        await asyncio.sleep(_POLL_S)


def are_online(engine: Engine, nanogrids: Collection[int], since_s: float | None) -> bool:
    """Whether the last word of each gateway, as the oracle keeps it, is that it is online.

    since_s: and was said at or after this moment [epoch s]. False while the database does not answer.
    """
    newest = (
        select(GatewayStatus.nanogrid, func.max(GatewayStatus.id).label("id"))
        .where(GatewayStatus.nanogrid.in_(nanogrids))
        .group_by(GatewayStatus.nanogrid)
        .subquery()
    )
    rows = select(GatewayStatus).join(newest, GatewayStatus.id == newest.c.id)
    try:
        with Session(engine) as session:
            found = session.scalars(rows).all()
    except SQLAlchemyError:
        return False
    fresh = [each for each in found if since_s is None or each.received_at >= math.floor(since_s)]
    return len(fresh) == len(nanogrids) and all(each.online for each in fresh)


@dataclass
class Recoveries:
    """How long each kind of fault of each target took to be over [s]."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def note(self, kind: str, seconds: float) -> None:
        self.seconds[kind].append(seconds)

    def figures(self) -> dict[str, Any]:
        """Number, median and maximum by kind."""
        return {
            kind: {"n": len(each), "median": round(median(each), 2), "max": round(max(each), 2)}
            for kind, each in sorted(self.seconds.items())
        }
