"""Settlements with how they were computed, and holds."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from market.api.bodies import Number, SignedMessageWithReason
from market.api.context import Caller, CurrentMarket
from market.api.examples import signed_example
from market.api.paging import Page
from market.domain.messages import Hold
from market.services import holds, settlements
from market.services.access import Scope

router = APIRouter(tags=["settlements"])

OfferFilter = Annotated[str | None, Query(pattern=r"^0x[0-9a-f]{64}$")]
OfferId = Annotated[str, Path(pattern=r"^0x[0-9a-f]{64}$")]
Ordinal = Annotated[int, Path(ge=0, lt=2**32)]
Limit = Annotated[int, Query(ge=1, le=500)]
After = Annotated[str | None, Query(pattern=r"^0x[0-9a-f]{64}\.\d+$", description="`next` of the page before")]

_HOLD = Hold(bytes.fromhex("ab" * 32), 3, bytes.fromhex("cd" * 32))


@router.get("/settlements")
def list_settlements(
    market: CurrentMarket,
    caller: Caller,
    offer: OfferFilter = None,
    nanogrid: Number | None = None,
    first: Number | None = None,
    last: Number | None = None,
    limit: Limit = 100,
    after: After = None,
) -> dict[str, Any]:
    """Settled awards that concern the caller, each with the steps of its computation."""
    with market.reading() as session:
        rows = settlements.settlements_of(
            session,
            caller,
            offer=offer,
            nanogrid=nanogrid,
            first=first,
            last=last,
            limit=limit,
            after=None if after is None else (after[:66], int(after[67:])),
        )
        items = [settlements.settlement_document(session, row) for row in rows]
        return {"items": items, "next": f"{rows[-1].offer}.{rows[-1].ordinal}" if len(rows) == limit else None}


@router.get("/settlements/commands")
def list_settled_commands(
    market: CurrentMarket,
    page: Page,
    caller: Caller,
    nanogrid: Number | None = None,
    first: Number | None = None,
    last: Number | None = None,
) -> dict[str, Any]:
    """Settled RED commands that concern the caller, with their computation."""
    with market.reading() as session:
        query = settlements.settled_commands_of(session, caller, nanogrid=nanogrid, first=first, last=last)
        return page.select(session, query, lambda rows: [settlements.command_document(row) for (row,) in rows])


@router.post("/holds", status_code=201)
def place_hold(
    market: CurrentMarket,
    caller: Caller,
    body: Annotated[SignedMessageWithReason, signed_example(_HOLD, reason={"text": "The meter was replaced at noon"})],
) -> dict[str, Any]:
    """Stop an award's payment until the referee decides. The bond comes from the holder's account."""
    return holds.place_hold(market, caller, body.message, body.signature, body.reason).document()


@router.get("/holds")
def list_holds(
    market: CurrentMarket, page: Page, caller: Caller, offer: OfferFilter = None, is_open: bool | None = None
) -> dict[str, Any]:
    """Holds that the caller placed or that concern it."""
    with market.reading() as session:
        query = holds.holds_of(session, caller, offer, is_open)
        return page.select(session, query, lambda rows: [holds.hold_document(session, row) for (row,) in rows])


@router.post("/holds/{offer}/{ordinal}/lapse", status_code=201)
def lapse_hold(market: CurrentMarket, caller: Caller, offer: OfferId, ordinal: Ordinal) -> dict[str, Any]:
    """End a hold whose term is over without a decision: in the prosumer's favour."""
    caller.require(Scope.DECISIONS)
    return holds.lapse_hold(market, offer, ordinal).document()
