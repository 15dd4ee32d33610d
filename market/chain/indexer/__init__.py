"""The market's knowledge of the chain: every event of the contracts, in order, as rows that can be rebuilt."""

from market.chain.indexer import auction, capacity, metering, registry, settlement, signals, token
from market.chain.indexer.indexer import Indexer, Progress
from market.chain.indexer.projecting import handled_events
from market.chain.indexer.registry import ROLES

__all__ = [
    "ROLES",
    "Indexer",
    "Progress",
    "auction",
    "capacity",
    "handled_events",
    "metering",
    "registry",
    "settlement",
    "signals",
    "token",
]
