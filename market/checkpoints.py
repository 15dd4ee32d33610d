"""Where a process may be killed so that what is on disk, on the chain or at somebody else's differs: a name for each.

Code calls `passed` there, which does nothing unless somebody follows: tests do, to kill a process exactly there. What
is on disk at each, and what the next start makes of it, is the table in docs/operations.md, "What may die when".
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

Follower = Callable[[StrEnum, str], None]

_followers: list[Follower] = []


def passed(point: StrEnum, about: str = "") -> None:
    """The process has come to a checkpoint; `about` tells apart what may pass it, e.g. a message's topic."""
    for follower in _followers:
        follower(point, about)


def follow(follower: Follower) -> None:
    """Have a function called at every checkpoint of this process from now on."""
    _followers.append(follower)


class SenderPoint(StrEnum):
    """Of the transaction sender (market.chain.sender)."""

    STORED = "stored"
    """Nonce and signed bytes are committed; no node has them."""
    SENT = "sent"
    """A node has the bytes; the row does not say so."""
    NOTED = "noted"
    """The row says that a node has them."""
    REPLACED = "replaced"
    """Signed again with the same nonce at a higher fee and committed; no node has these bytes."""
    RENUMBERED = "renumbered"
    """Signed again with another nonce, as the key was used elsewhere, and committed; no node has these bytes."""
    EMPTIED = "emptied"
    """An empty transaction has taken the nonce of one that the node refuses for good; no node has it."""
    REOPENED = "reopened"
    """What the chain had lost counts as sent again; no node has it."""
    MINED = "mined"
    """The receipt is known; the row does not say so."""
    ENDED = "ended"
    """The row has the receipt; whoever asked has not heard of it."""


class IndexerPoint(StrEnum):
    """Of the indexer (market.chain.indexer)."""

    PROJECTED = "projected"
    """Events and projections of a range are written, and not committed."""
    TAKEN_IN = "taken-in"
    """A range and its cursor are committed; later ranges are missing."""
    DROPPED = "dropped"
    """A rebuild, or a fork older than what is kept, has dropped every projection; nothing is rebuilt."""
    REWINDING = "rewinding"
    """The projections are back at a fork's last common block, and not committed."""
    REWOUND = "rewound"
    """The same, committed; the new blocks are missing."""


class BidPoint(StrEnum):
    """From a bid's arrival at the API to its place on the chain (market.services.bids, market.api.guard)."""

    WRITTEN = "written"
    """The bid and its receipt are written, and not committed."""
    RECEIVED = "received"
    """They are committed; the bidder has no answer."""
    REMEMBERED = "remembered"
    """The answer is kept for whoever repeats the call; the bidder does not have it."""
    POSTED = "posted"
    """A batch of bids is on the chain and projected; its bids do not say so, later batches are not sent."""
    RECORDED = "recorded"
    """The bids say what the chain made of them."""
    REFUSED = "refused"
    """Bids that were not posted in time are late, with the relayer's signed refusal."""
