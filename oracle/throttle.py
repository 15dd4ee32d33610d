"""How many messages of one gateway the oracle takes: brokers bound size and queues, not how often a client speaks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

_SAID_EVERY_S: Final = 60.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float
    said_at: float = float("-inf")


@dataclass
class Throttle:
    """A token bucket for each gateway: `burst` messages at once, `per_s` in the long run. now_s: real time."""

    per_s: float
    burst: int
    now_s: Callable[[], float] = time.monotonic
    _buckets: dict[str, _Bucket] = field(default_factory=dict, init=False, repr=False)

    def admits(self, gateway: str) -> bool:
        """Whether the next message of a gateway is taken; counts it if so."""
        now = self.now_s()
        bucket = self._buckets.setdefault(gateway, _Bucket(self.burst, now))
        bucket.tokens = min(self.burst, bucket.tokens + (now - bucket.filled_at) * self.per_s)
        bucket.filled_at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def is_to_be_said(self, gateway: str) -> bool:
        """Whether it is time to write down that a gateway speaks too often: once a minute, lest the record floods."""
        now, bucket = self.now_s(), self._buckets[gateway]
        if now - bucket.said_at < _SAID_EVERY_S:
            return False
        bucket.said_at = now
        return True
