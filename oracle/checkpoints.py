"""Where the oracle may be killed so that what is on disk or at somebody else's differs (see market.checkpoints)."""

from __future__ import annotations

from enum import StrEnum


class IngestPoint(StrEnum):
    """Of a message from a gateway: readings, an acknowledgement, a status (oracle.ingest, oracle.service)."""

    HEARD = "heard"
    """The broker counts the message as delivered; nothing of it is written."""
    WRITTEN = "written"
    """What follows from it is written, and not committed."""
    STORED = "stored"
    """It is committed; the gateway has no answer."""
    ANSWERED = "answered"
    """The broker has the receipts, and whatever else follows."""


class OutboxPoint(StrEnum):
    """Of the orders to gateways (oracle.dispatching, oracle.service)."""

    NOMINATED = "nominated"
    """Baselines are committed; the chain does not have them."""
    ANCHORED = "anchored"
    """The chain has the baselines; no gateway has been told."""
    ORDERED = "ordered"
    """New orders are committed; no snapshot tells of them."""
    WITHDRAWN = "withdrawn"
    """Orders that RED has taken back are committed as revoked; their gateways have not been told."""
    MARKED = "marked"
    """Orders count as published; the broker does not have the snapshot."""
    PUBLISHED = "published"
    """The broker has the snapshot; the gateways have not answered."""
