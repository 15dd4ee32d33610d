"""What was answered a moment ago: a gateway that waits for its receipt sends the same again, and gets the same again.

When a thousand gateways come back together, their repetitions would otherwise cost as much as the readings themselves,
and the answers would come later and later.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from oracle.outgoing import Outgoing

_REMEMBERED: Final = 10_000
_FOR_S: Final = 60.0
"""Not longer: a database may be put back from a backup, and forget what it had."""


@dataclass
class Answers:
    """Answers by message, the latest only. now_s: real time."""

    now_s: Callable[[], float] = time.monotonic
    _known: OrderedDict[bytes, tuple[float, tuple[Outgoing, ...]]] = field(default_factory=OrderedDict, init=False)

    def to(self, topic: str, payload: bytes) -> list[Outgoing]:
        """The answer that the same message got; empty where it is not remembered."""
        at, answer = self._known.get(_key(topic, payload), (0.0, ()))
        return list(answer) if answer and self.now_s() - at < _FOR_S else []

    def remember(self, topic: str, payload: bytes, answer: Sequence[Outgoing]) -> None:
        """Keep the answer to a message."""
        key = _key(topic, payload)
        self._known[key] = self.now_s(), tuple(answer)
        self._known.move_to_end(key)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _key(topic: str, payload: bytes) -> bytes:
    return hashlib.sha256(topic.encode() + b"\0" + payload).digest()
