"""A message that the oracle publishes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish. order: of those that the broker retains, greater than that of an older one."""

    topic: str
    payload: bytes
    retain: bool = False
    order: int = 0
