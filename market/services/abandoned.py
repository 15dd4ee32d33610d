"""Transactions that nobody waits for any longer, because their caller was told to ask again or its process was killed.

The calendar's next moment, at which they are looked after too, may be minutes away: until then the market would say
that trading stands still, and be taken out of service, although the chain has long gone on.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from market.chain.sender import TransactionSender
from market.clock import Clock, SimulatedClock
from market.jobs import Rounds

LOOK_EVERY_S: Final = 5


def rounds_of(sender: TransactionSender, clock: Clock) -> Rounds | None:
    """The rounds of a process that sends, by a key; None in a demonstration, whose clock would stop for each of them
    and whose chain takes everything in at once."""
    if isinstance(clock, SimulatedClock):
        return None
    return Rounds("abandoned transactions", sender.finish_abandoned, partial(int.__add__, LOOK_EVERY_S))
