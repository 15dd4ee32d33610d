"""Who may see and do what: decided here and nowhere else, from the roles and ownerships that stand on the chain.

Owners see their own nanogrids, a nanogrid's gateway and keys that single, aggregators those of their portfolios, DSOs
those at their nodes; the operator and auditors see all. What nanogrids measure is for the owner, the node's DSO and
auditors only.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, or_, select, true
from sqlalchemy.orm import Session

from market.domain.errors import Category, MeritgridError
from market.services.access import NotAllowed, Principal, Scope
from market.store.projections import Nanogrid, Node, Offer, Portfolio, RoleHolding


class Role(StrEnum):
    """Roles of the ParticipantRegistry; ADMIN is the default admin, the operator's governance key."""

    ADMIN = "ADMIN"
    OPERATOR = "OPERATOR"
    ORACLE = "ORACLE"
    REFEREE = "REFEREE"
    DSO = "DSO"
    TSO = "TSO"
    AGGREGATOR = "AGGREGATOR"
    AUDITOR = "AUDITOR"
    PROSUMER = "PROSUMER"


class Unknown(MeritgridError):
    """What the call names does not exist."""

    def __init__(self, what: str, which: object) -> None:
        super().__init__(
            f"unknown-{what}", f"Unknown {what}", f"There is no {what} {which}.", {}, category=Category.NOT_FOUND
        )


def roles_of(session: Session, address: str) -> list[str]:
    """Names of the roles that an address holds, sorted."""
    return sorted(session.scalars(select(RoleHolding.role).where(RoleHolding.account == address)))


def participants_of(session: Session, principal: Principal, role: Role | None) -> Select[RoleHolding]:
    """Query for who holds which role, or who holds one of them.

    Raises:
        NotAllowed: the caller is neither the operator, nor its governance key, nor an auditor.
    """
    require_role(session, principal, Role.OPERATOR, Role.ADMIN, Role.AUDITOR)
    query = select(RoleHolding).order_by(RoleHolding.role, RoleHolding.account)
    return query if role is None else query.where(RoleHolding.role == role.value)


def holds(session: Session, principal: Principal, *roles: Role) -> bool:
    """Whether the caller holds one of some roles. A key for one nanogrid holds none."""
    return principal.nanogrid is None and any(
        session.get(RoleHolding, (principal.address, role.value)) is not None for role in roles
    )


def require_role(session: Session, principal: Principal, *roles: Role) -> None:
    """Raises NotAllowed unless the caller holds one of some roles."""
    if not holds(session, principal, *roles):
        raise NotAllowed(f"This is for the {' or the '.join(role.value for role in roles)}.")


def node_of(session: Session, node: int) -> Node:
    """Raises Unknown."""
    row = session.get(Node, node)
    if row is None:
        raise Unknown("node", node)
    return row


def nanogrid_of(session: Session, nanogrid: int) -> Nanogrid:
    """Raises Unknown."""
    row = session.get(Nanogrid, nanogrid)
    if row is None:
        raise Unknown("nanogrid", nanogrid)
    return row


def is_owners(principal: Principal, row: Nanogrid) -> bool:
    """Whether a nanogrid is the caller's own: its owner, its gateway, or a key for it."""
    if principal.nanogrid is not None:
        return principal.nanogrid == row.nanogrid and principal.address in (row.owner, row.gateway)
    return principal.address == row.owner


def own(principal: Principal) -> ColumnElement[bool]:
    """Condition on Nanogrid: those that are the caller's own (see is_owners)."""
    if principal.nanogrid is None:
        return Nanogrid.owner == principal.address
    mine = or_(Nanogrid.owner == principal.address, Nanogrid.gateway == principal.address)
    return (Nanogrid.nanogrid == principal.nanogrid) & mine


def measured_for(session: Session, principal: Principal) -> ColumnElement[bool]:
    """Condition on Nanogrid: those whose measurements the caller may see (see require_reading_sight)."""
    if principal.nanogrid is not None:
        return own(principal)
    if holds(session, principal, Role.AUDITOR):
        return true()
    return or_(own(principal), Nanogrid.node.in_(select(Node.node).where(Node.dso == principal.address)))


def concerning(session: Session, principal: Principal) -> ColumnElement[bool]:
    """Condition on Nanogrid: those that concern the caller."""
    if principal.nanogrid is not None:
        return own(principal)
    if holds(session, principal, Role.OPERATOR, Role.AUDITOR):
        return true()
    return or_(
        Nanogrid.owner == principal.address,
        Nanogrid.portfolio.in_(select(Portfolio.portfolio).where(Portfolio.aggregator == principal.address)),
        Nanogrid.node.in_(select(Node.node).where(Node.dso == principal.address)),
    )


def in_own_time(principal: Principal, moment: Any) -> ColumnElement[bool]:
    """Condition on Nanogrid: an owner sees nothing from before it was the owner. moment: a column [epoch s]."""
    return or_(Nanogrid.owner != principal.address, Nanogrid.owned_since <= moment)


def require_concerned(session: Session, principal: Principal, nanogrid: int) -> Nanogrid:
    """The nanogrid, if it concerns the caller. Raises Unknown, NotAllowed."""
    row = nanogrid_of(session, nanogrid)
    query = select(Nanogrid.nanogrid).where(Nanogrid.nanogrid == nanogrid, concerning(session, principal))
    if session.scalar(query) is None:
        raise NotAllowed(f"Nanogrid {nanogrid} does not concern you.")
    return row


def require_owner(session: Session, principal: Principal, nanogrid: int) -> Nanogrid:
    """The nanogrid, if it is the caller's own and the key may move money. Raises Unknown, NotAllowed."""
    row = nanogrid_of(session, nanogrid)
    principal.require(Scope.ACCOUNT)
    if principal.address != row.owner or principal.nanogrid not in (None, nanogrid):
        raise NotAllowed(f"Only the owner of nanogrid {nanogrid} may do this.")
    return row


def require_account(principal: Principal, account: str) -> None:
    """Raises NotAllowed unless the account is the caller's own. A key for one nanogrid has no account."""
    principal.require(Scope.ACCOUNT)
    if principal.address != account or principal.nanogrid is not None:
        raise NotAllowed(f"Account {account} is not yours.")


def require_account_sight(session: Session, principal: Principal, account: str) -> None:
    """Raises NotAllowed unless the account is the caller's own, or the caller is an auditor or the operator."""
    if not holds(session, principal, Role.AUDITOR, Role.OPERATOR):
        require_account(principal, account)


def require_reading_sight(session: Session, principal: Principal, row: Nanogrid) -> None:
    """Raises NotAllowed unless the caller may see what a nanogrid measured."""
    if not is_owners(principal, row) and not oversees(session, principal, row.node):
        raise NotAllowed("Readings are for the nanogrid's owner, its node's DSO and auditors.")


def oversees(session: Session, principal: Principal, node: int, *others: Role) -> bool:
    """Whether the caller sees all measurements of a node: its DSO, an auditor, or one of other roles."""
    if principal.nanogrid is not None:
        return False
    return principal.address == node_of(session, node).dso or holds(session, principal, Role.AUDITOR, *others)


def require_oversight(session: Session, principal: Principal, node: int) -> None:
    """Raises NotAllowed unless the caller is the node's DSO or an auditor. Raises Unknown."""
    if not oversees(session, principal, node):
        raise NotAllowed("Only the node's DSO and auditors see this of all its nanogrids.")


def portfolios_seen(session: Session, principal: Principal, node: int) -> list[int]:
    """Portfolios of a node whose baselines the caller may see.

    Raises:
        NotAllowed: none. Unknown: no such node.
    """
    everything = oversees(session, principal, node, Role.ORACLE)
    query = select(Portfolio.portfolio).where(Portfolio.node == node)
    if not everything:
        query = query.where(Portfolio.aggregator == principal.address)
    seen = [] if principal.nanogrid is not None else list(session.scalars(query))
    if not seen and not everything:
        raise NotAllowed("Only the node's DSO, its aggregators and auditors see baselines.")
    return seen


def nanogrids_seen(session: Session, principal: Principal, node: int) -> Select[int]:
    """Query for the nanogrids of a node that concern the caller.

    Raises:
        NotAllowed: none. Unknown: no such node.
    """
    dso = node_of(session, node).dso
    seen = select(Nanogrid.nanogrid).where(Nanogrid.node == node, concerning(session, principal))
    if session.scalar(seen.limit(1)) is None and principal.address != dso:
        raise NotAllowed("Nothing at this node concerns you.")
    return seen


def bidders_seen(session: Session, principal: Principal | None, offer: Offer) -> set[int] | None:
    """Nanogrids of an offer whose results the caller sees; None: all of them.

    Raises:
        NotAllowed: nobody is signed in.
    """
    if principal is None:
        raise NotAllowed("Sign in to see the awards that concern you.")
    aggregator = session.get_one(Portfolio, offer.portfolio).aggregator
    if (principal.nanogrid is None and principal.address == aggregator) or oversees(session, principal, offer.node):
        return None
    query = select(Nanogrid.nanogrid).where(
        Nanogrid.portfolio == offer.portfolio, concerning(session, principal), in_own_time(principal, offer.interval)
    )
    return set(session.scalars(query))


def is_bidder(session: Session, principal: Principal, nanogrid: int, signer: str) -> bool:
    """Whether a bid of a nanogrid, signed by `signer`, is the caller's own."""
    row = session.get_one(Nanogrid, nanogrid)
    return is_owners(principal, row) or (principal.nanogrid is None and principal.address == signer)
