"""Holds: the stop of an award's payment until the referee decides, with a bond of whoever asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from market.domain.messages import Hold
from market.domain.trees import award_range
from market.services.access import Principal
from market.services.decisions import Carried, carry, document_of, parse, require_hash, wire_signature
from market.services.market import Market, purpose_key
from market.services.roles import Role, Unknown, concerning, holds
from market.store.books import Hold as HoldRow
from market.store.projections import Award, Nanogrid


def place_hold(
    market: Market, principal: Principal, message: Mapping[str, Any], signature: str, reason: Mapping[str, Any]
) -> Carried:
    """Stop an award's payment; the bond is taken from the holder's account.

    Raises:
        Unknown: no such award. ContractRefused: the caller is no party, the award is settled or was held before.
    """
    hold = parse(Hold, message)
    require_hash(reason, hold.reason, "/message/reason")
    market.index()
    offer = "0x" + hold.offer.hex()
    with market.reading() as session:
        awards = session.scalars(select(Award).where(Award.offer == offer).order_by(Award.ordinal)).all()
        if hold.ordinal >= len(awards):
            raise Unknown("award", f"{offer}/{hold.ordinal}")
        given = award_range(b"".join(award.record for award in awards), hold.ordinal, hold.ordinal)
    function = market.contracts.settlement.functions.placeHold(
        hold.arguments(), given.argument(), wire_signature(signature)
    )
    return carry(market, principal, hold, signature, function, subject=offer, documents={"reason": reason})


def lapse_hold(market: Market, offer: str, ordinal: int) -> Carried:
    """End a hold whose term is over without a decision, in the prosumer's favour. Anyone may."""
    function = market.contracts.settlement.functions.lapseHold(bytes.fromhex(offer[2:]), ordinal)
    key = purpose_key("lapseHold", offer, ordinal)
    receipt = market.relay(function, f"lapseHold:{key}")
    return Carried(f"0x{key}", receipt.transaction_hash, receipt.block)


def holds_of(session: Session, principal: Principal, offer: str | None, is_open: bool | None) -> Select[HoldRow]:
    """Holds that the caller placed or that are on awards that concern it; referee, auditors and operator see all."""
    query = select(HoldRow).order_by(HoldRow.block, HoldRow.log_index)
    if offer is not None:
        query = query.where(HoldRow.offer == offer)
    if is_open is not None:
        query = query.where(HoldRow.decided_at.is_(None) if is_open else HoldRow.decided_at.is_not(None))
    if not holds(session, principal, Role.REFEREE, Role.AUDITOR, Role.OPERATOR):
        concerned = (
            select(Award.offer)
            .join(Nanogrid, Nanogrid.nanogrid == Award.nanogrid)
            .where(Award.offer == HoldRow.offer, Award.ordinal == HoldRow.ordinal, concerning(session, principal))
            .exists()
        )
        query = query.where(concerned | (HoldRow.holder == principal.address))
    return query


def hold_document(session: Session, row: HoldRow) -> dict[str, Any]:
    award = session.get_one(Award, (row.offer, row.ordinal))
    return {
        "offer": row.offer,
        "ordinal": row.ordinal,
        "nanogrid": award.nanogrid,
        "interval": award.interval,
        "holder": row.holder,
        "reason": document_of(session, row.reason),
        "reason_hash": row.reason,
        "bond_ueur": row.bond_ueur,
        "placed_at": row.placed_at,
        "decide_by": row.decide_by,
        "decided_at": row.decided_at,
        "upheld": row.upheld,
        "lapsed": row.lapsed,
    }
