"""The chain's lists of senders and deployers follow the ParticipantRegistry, where the chain has such lists."""

from __future__ import annotations

from functools import partial
from typing import Final

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from market.chain.allow_lists import AllowLists, Change, Wanted, wanted_of
from market.jobs import Rounds
from market.services.market import Market
from market.store.projections import Nanogrid, RoleHolding

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 5
"""So long after its registration a wallet is listed, plus the chain's time."""


def reconcile(market: Market, lists: AllowLists) -> list[Change]:
    """Make the chain's lists as the registry says, whoever changed them; returns what was changed."""
    market.index()
    with market.reading() as session:
        registered = registered_in(session)
    done = lists.reconcile(registered)
    for change in done:
        log.info("allow-list changed", list=change.list.value, account=change.account, listing=change.listing.name)
    return done


def rounds_of(market: Market) -> Rounds:
    """The rounds of the market's process, with the relayer's key."""
    lists = AllowLists(market.contracts, market.relayer)

    def run() -> None:
        reconcile(market, lists)

    return Rounds("allow lists", run, partial(int.__add__, LOOK_EVERY_S))


def registered_in(session: Session) -> Wanted:
    """Who should be on which list, as the projections have the registry."""
    holdings = session.execute(select(RoleHolding.account, RoleHolding.role)).all()
    owners = session.scalars(select(Nanogrid.owner).distinct()).all()
    return wanted_of([(account, role) for account, role in holdings], owners)
