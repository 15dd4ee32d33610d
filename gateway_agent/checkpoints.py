"""Where an agent may be killed so that its folder, its devices or somebody else knows more or less (see
market.checkpoints)."""

from __future__ import annotations

from enum import StrEnum


class GatewayPoint(StrEnum):
    """Of a gateway's moments, its outbox and what comes in (gateway_agent.gateway, gateway_agent.outbox)."""

    MOVED = "moved"
    """The devices are measured and have their new set-points; nothing of the moment is written."""
    KEPT = "kept"
    """The moment - reading, states, acknowledgements, mark - is on disk; nobody else knows of it."""
    READINGS_SENT = "readings-sent"
    """The broker has the readings; there is no receipt."""
    ACKNOWLEDGED = "acknowledged"
    """The broker has an acknowledgement; the buffer does not say so."""
    ACKNOWLEDGEMENT_MARKED = "acknowledgement-marked"
    """The buffer says so; whether the oracle has it is not known."""
    HEARD = "heard"
    """The broker counts a message as delivered; nothing of it is written."""
    RECEIPTS_KEPT = "receipts-kept"
    """The readings of a message of receipts count as confirmed."""


class BidderPoint(StrEnum):
    """Of a gateway's bids (gateway_agent.bidder, gateway_agent.bidding)."""

    SIGNED = "signed"
    """The signed bid is on disk; the market does not have it."""
    ANSWERED = "answered"
    """The market has answered; the answer is not written."""
    KEPT = "kept"
    """The answer is on disk; the interval does not count as done."""
