"""Nanogrids: what stands about them, and what their owners decide: delegate, bond, pay-out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from market.domain.messages import Delegation, SeatTransferVeto, Unbonding
from market.services.access import Principal, Scope
from market.services.accounts import TokenPermit, carry_permit
from market.services.decisions import Carried, carry, parse, wire_signature
from market.services.market import Market, purpose_key
from market.services.roles import concerning, require_concerned, require_owner, require_reading_sight
from market.store.books import LedgerEntry, Purse
from market.store.facts import GatewayStatus, Reading
from market.store.projections import Nanogrid


def find_nanogrids(session: Session, principal: Principal, limit: int, after: int | None) -> Sequence[Nanogrid]:
    """Nanogrids that concern the caller, in the order of their ids."""
    query = select(Nanogrid).where(concerning(session, principal)).order_by(Nanogrid.nanogrid).limit(limit)
    return session.scalars(query if after is None else query.where(Nanogrid.nanogrid > after)).all()


def nanogrid_document(row: Nanogrid) -> dict[str, Any]:
    """A nanogrid without what it measures. Money in micro-euro, power in W, quantity in Wh."""
    is_delegated = row.signer is not None and row.signer != row.owner
    return {
        "nanogrid": row.nanogrid,
        "portfolio": row.portfolio,
        "index": row.index,
        "node": row.node,
        "owner": row.owner,
        "announced_owner": row.announced_owner,
        "transfer_possible_from": row.transfer_possible_from,
        "gateway": row.gateway,
        "rated_power_w": row.rated_power_w,
        "emergency_price_ueur_kwh": row.emergency_price_ueur_kwh,
        "active_from": row.active_from,
        "active_until": row.active_until,
        "suspended": row.suspended,
        "suspended_reason": row.suspended_reason,
        "delegate": _delegate(row) if is_delegated else None,
        "largest_quantity": row.largest_quantity,
        "cover_cents": row.cover_cents,
        "balance_ueur": row.balance_ueur,
        "bond_ueur": row.bond_ueur,
        "unbonding_ueur": row.unbonding_ueur,
        "unbonding_available_at": row.unbonding_available_at,
        "debt_ueur": row.debt_ueur,
    }


def _delegate(row: Nanogrid) -> dict[str, Any]:
    return {
        "signer": row.signer,
        "expiry_day": row.signer_expiry_day,
        "lowest_price_ueur_kwh": row.lowest_price_ueur_kwh,
        "largest_quantity": row.largest_quantity,
        "cover_cents": row.signer_cover_cents,
    }


def show_nanogrid(market: Market, session: Session, principal: Principal, nanogrid: int) -> dict[str, Any]:
    """A nanogrid, what its owner's next signatures need, and when its gateway was last heard of.

    Raises:
        Unknown, NotAllowed.
    """
    row = require_concerned(session, principal, nanogrid)
    chain = market.contracts
    status = session.scalars(
        select(GatewayStatus)
        .where(GatewayStatus.nanogrid == nanogrid)
        .order_by(GatewayStatus.received_at.desc(), GatewayStatus.id.desc())
        .limit(1)
    ).first()
    return nanogrid_document(row) | {
        "owner_nonce": chain.call(chain.registry.functions.ownerNonce(nanogrid)),
        "unbonding_nonce": chain.call(chain.settlement.functions.unbondingNonce(nanogrid)),
        "gateway_online": None if status is None else status.online,
        "gateway_heard_at": None if status is None else status.received_at,
    }


def readings_of(
    session: Session, principal: Principal, nanogrid: int, first: int, last: int, limit: int
) -> list[dict[str, Any]]:
    """Signed readings of the intervals from … to, oldest first. An owner sees none from before it was the owner.

    Raises:
        Unknown, NotAllowed.
    """
    row = require_concerned(session, principal, nanogrid)
    require_reading_sight(session, principal, row)
    since = row.owned_since if principal.address == row.owner else 0
    readings = session.scalars(
        select(Reading)
        .where(Reading.nanogrid == nanogrid, Reading.interval.between(max(first, since), last))
        .order_by(Reading.interval, Reading.sequence)
        .limit(limit)
    )
    return [
        {
            "nanogrid": reading.nanogrid,
            "interval": reading.interval,
            "active_energy_wh": reading.active_energy_wh,
            "reactive_energy_varh": reading.reactive_energy_varh,
            "sequence": reading.sequence,
            "gateway": reading.gateway,
            "quality": reading.quality,
            "signature": "0x" + reading.signature.hex(),
            "received_at": reading.received_at,
        }
        for reading in readings
    ]


def seat_delegate(
    market: Market, principal: Principal, nanogrid: int, message: Mapping[str, Any], signature: str
) -> Carried:
    """Seat a key that bids within limits, or revoke it (signer 0)."""
    _own(market, principal, nanogrid)
    delegation = parse(Delegation, message, nanogrid=nanogrid)
    function = market.contracts.registry.functions.setDelegate(delegation.arguments(), wire_signature(signature))
    return carry(market, principal, delegation, signature, function, subject=nanogrid, scope=Scope.ACCOUNT)


def veto_transfer(
    market: Market, principal: Principal, nanogrid: int, message: Mapping[str, Any], signature: str
) -> Carried:
    """End a change of owner that the operator announced."""
    _own(market, principal, nanogrid)
    veto = parse(SeatTransferVeto, message, nanogrid=nanogrid)
    function = market.contracts.registry.functions.vetoSeatTransfer(veto.arguments(), wire_signature(signature))
    return carry(market, principal, veto, signature, function, subject=nanogrid, scope=Scope.ACCOUNT)


def fund_bond(market: Market, principal: Principal, nanogrid: int, payer: str, permit: TokenPermit) -> Carried:
    """Add tokens of the owner to a nanogrid's bond; its debts are paid first."""
    _own(market, principal, nanogrid)
    amount_ueur, deadline, v, r, s = permit.arguments()
    function = market.contracts.settlement.functions.fundBondWithPermit(nanogrid, payer, amount_ueur, deadline, v, r, s)
    return carry_permit(market, principal, function, "fundBond", nanogrid, permit)


def start_unbonding(
    market: Market, principal: Principal, nanogrid: int, message: Mapping[str, Any], signature: str
) -> Carried:
    """Start the release of a part of the bond; the cover falls at once."""
    _own(market, principal, nanogrid)
    unbonding = parse(Unbonding, message, nanogrid=nanogrid)
    function = market.contracts.settlement.functions.startUnbonding(unbonding.arguments(), wire_signature(signature))
    return carry(market, principal, unbonding, signature, function, subject=nanogrid, scope=Scope.ACCOUNT)


def withdraw_bond(market: Market, principal: Principal, nanogrid: int) -> Carried:
    """Pay the unbonded part out to the owner that unbonded it, once its period is over."""
    available_at = _own(market, principal, nanogrid).unbonding_available_at
    function = market.contracts.settlement.functions.withdrawBond(nanogrid)
    return _paid(market, function, purpose_key("withdrawBond", nanogrid, available_at))


def pay_out(market: Market, principal: Principal, nanogrid: int) -> Carried:
    """Pay a nanogrid's balance out to its owner's address as tokens."""
    _own(market, principal, nanogrid)
    with market.reading() as session:
        last = _last_change(session, nanogrid)
    function = market.contracts.settlement.functions.payOut(nanogrid)
    return _paid(market, function, purpose_key("payOut", nanogrid, last))


def _last_change(session: Session, nanogrid: int) -> str:
    """The last change of the balance: each pay-out of what it left is one of its own, and a retry is none."""
    last = session.execute(
        select(LedgerEntry.block, LedgerEntry.log_index)
        .where(LedgerEntry.purse == Purse.SEAT, LedgerEntry.nanogrid == nanogrid)
        .order_by(LedgerEntry.block.desc(), LedgerEntry.log_index.desc())
        .limit(1)
    ).first()
    return "nothing" if last is None else f"{last[0]}.{last[1]}"


def _paid(market: Market, function: Any, key: str) -> Carried:
    receipt = market.relay(function, f"{function.fn_name}:{key}")
    return Carried(f"0x{key}", receipt.transaction_hash, receipt.block)


def _own(market: Market, principal: Principal, nanogrid: int) -> Nanogrid:
    market.index()
    with market.reading() as session:
        row = require_owner(session, principal, nanogrid)
        session.expunge(row)
        return row
