"""Nanogrids for whom they concern; delegates, bonds and pay-outs for their owners."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from market.api.bodies import BondPermit, Number, SignedMessage
from market.api.context import Caller, CurrentMarket
from market.api.examples import signed_example
from market.domain.messages import Delegation, SeatTransferVeto, Unbonding
from market.services import nanogrids

router = APIRouter(prefix="/nanogrids", tags=["nanogrids"])

NanogridId = Annotated[int, Path(ge=0, lt=2**48)]
Limit = Annotated[int, Query(ge=1, le=500)]

_DELEGATION = Delegation(65_543, "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", 20_900, 80_000, 2_500, 60, 0)
_VETO = SeatTransferVeto(65_543, 1)
_UNBONDING = Unbonding(65_543, 4_000_000, 0)


@router.get("")
def list_nanogrids(
    market: CurrentMarket, caller: Caller, limit: Limit = 100, after: Annotated[Number | None, Query()] = None
) -> dict[str, Any]:
    """Nanogrids that concern the caller: an owner's own, an aggregator's, those at a DSO's nodes."""
    with market.reading() as session:
        rows = nanogrids.find_nanogrids(session, caller, limit, after)
        items = [nanogrids.nanogrid_document(row) for row in rows]
        return {"items": items, "next": rows[-1].nanogrid if len(rows) == limit else None}


@router.get("/{nanogrid}")
def show_nanogrid(market: CurrentMarket, caller: Caller, nanogrid: NanogridId) -> dict[str, Any]:
    with market.reading() as session:
        return nanogrids.show_nanogrid(market, session, caller, nanogrid)


@router.get("/{nanogrid}/readings")
def list_readings(
    market: CurrentMarket,
    caller: Caller,
    nanogrid: NanogridId,
    first: Annotated[Number, Query(description="Start of the first interval [epoch s]")] = 0,
    last: Annotated[Number, Query(description="Start of the last interval [epoch s]")] = 2**32 - 1,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Signed readings, for the owner, its gateway, the node's DSO and auditors. `next` is the next page's `first`."""
    with market.reading() as session:
        items = nanogrids.readings_of(session, caller, nanogrid, first, last, limit)
        return {"items": items, "next": items[-1]["interval"] + 1 if len(items) == limit else None}


@router.post("/{nanogrid}/delegation", status_code=201)
def seat_delegate(
    market: CurrentMarket,
    caller: Caller,
    nanogrid: NanogridId,
    body: Annotated[SignedMessage, signed_example(_DELEGATION)],
) -> dict[str, Any]:
    """Seat a key that bids within limits, or revoke it at once (signer 0)."""
    return nanogrids.seat_delegate(market, caller, nanogrid, body.message, body.signature).document()


@router.post("/{nanogrid}/transfer/veto", status_code=201)
def veto_transfer(
    market: CurrentMarket,
    caller: Caller,
    nanogrid: NanogridId,
    body: Annotated[SignedMessage, signed_example(_VETO)],
) -> dict[str, Any]:
    """End a change of owner that the operator has announced, at any time until it is completed."""
    return nanogrids.veto_transfer(market, caller, nanogrid, body.message, body.signature).document()


@router.post("/{nanogrid}/bond", status_code=201)
def fund_bond(market: CurrentMarket, caller: Caller, nanogrid: NanogridId, body: BondPermit) -> dict[str, Any]:
    """Add the owner's tokens to the bond by an ERC-2612 permit; the nanogrid's debts are paid first."""
    return nanogrids.fund_bond(market, caller, nanogrid, body.from_, body.permit()).document()


@router.post("/{nanogrid}/unbonding", status_code=201)
def start_unbonding(
    market: CurrentMarket,
    caller: Caller,
    nanogrid: NanogridId,
    body: Annotated[SignedMessage, signed_example(_UNBONDING)],
) -> dict[str, Any]:
    """Start the release of a part of the bond; the cover falls at once, the money comes after the period."""
    return nanogrids.start_unbonding(market, caller, nanogrid, body.message, body.signature).document()


@router.post("/{nanogrid}/bond/withdrawal", status_code=201)
def withdraw_bond(market: CurrentMarket, caller: Caller, nanogrid: NanogridId) -> dict[str, Any]:
    """Pay the unbonded part out to the address of the owner that unbonded it, once the period is over."""
    return nanogrids.withdraw_bond(market, caller, nanogrid).document()


@router.post("/{nanogrid}/payout", status_code=201)
def pay_out(market: CurrentMarket, caller: Caller, nanogrid: NanogridId) -> dict[str, Any]:
    """Pay the nanogrid's balance out to the owner's address as tokens."""
    return nanogrids.pay_out(market, caller, nanogrid).document()
