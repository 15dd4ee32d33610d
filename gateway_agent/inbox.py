"""What comes in from the broker: every message is checked before anything of it counts."""

from __future__ import annotations

from dataclasses import dataclass

from market.domain.errors import MeritgridError
from market.domain.typed_data import Domain
from oracle.messages import DispatchSnapshot, Plan, Receipts, SealedMessage, parse


class NotForUs(MeritgridError):
    """A message that is well-formed, but not the oracle's or not for this gateway."""

    def __init__(self, sentence: str) -> None:
        super().__init__("not-for-us", "The message is not the oracle's for this gateway", sentence)


@dataclass(frozen=True)
class Inbox:
    """Checks messages for one gateway: format, topic, and the oracle's seal over the whole."""

    gateway: str
    nanogrid: int
    oracle: str
    settlement: Domain

    def open(self, topic: str, payload: bytes) -> Receipts | DispatchSnapshot | Plan | None:
        """The message; None for a cleared topic, which says nothing. MessageRefused, NotForUs, BadSignature."""
        if not payload:
            return None
        received = parse(topic, payload)
        message = received.message
        if received.gateway != self.gateway.lower() or not isinstance(message, SealedMessage):
            raise NotForUs(f"a {received.channel} message for {received.gateway}")
        sealed_by = message.sealed_by(self.settlement)
        if sealed_by.lower() != self.oracle.lower():
            raise NotForUs(f"sealed by {sealed_by}, the oracle is {self.oracle}")
        if isinstance(message, Plan) and message.nanogrid != self.nanogrid:
            raise NotForUs(f"a plan for nanogrid {message.nanogrid}")
        if isinstance(message, Receipts | DispatchSnapshot | Plan):
            return message
        raise NotForUs(f"the channel {received.channel} is the gateway's own")
