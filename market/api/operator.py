"""The operator's desk: who takes part; actions prepared as transactions for its own key, and carried when signed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from market.api.bodies import RawTransaction
from market.api.context import Caller, CurrentMarket
from market.api.paging import Page
from market.services import operator
from market.services.operator_actions import AnyAction
from market.services.roles import Role, participants_of
from market.store.projections import RoleHolding

router = APIRouter(prefix="/operator", tags=["operator"])

_ACCOUNT = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
_EXAMPLES: dict[str, Any] = {
    "a role": {"value": {"action": "grant_role", "role": "DSO", "account": _ACCOUNT}},
    "a node": {"value": {"action": "register_node", "node": 1, "dso": _ACCOUNT, "name": "Substation 1"}},
    "a nanogrid": {
        "value": {
            "action": "register_nanogrid",
            "portfolio": 1,
            "owner": _ACCOUNT,
            "rated_power_w": 11_000,
            "emergency_price_ueur_kwh": 400_000,
            "active_from": 1_463_738_400,
        }
    },
    "an enrolment": {
        "value": {"action": "open_enrolment", "nanogrid": 65_543, "code": _ACCOUNT, "expires_at": 1_463_824_800}
    },
    "money that has arrived": {
        "value": {"action": "mint", "to": _ACCOUNT, "amount_ueur": 50_000_000, "reference": "Bank 2026-05-20/17"}
    },
    "a pause": {"value": {"action": "set_paused", "node": 1, "product": 0, "paused": True}},
}


@router.get("/participants")
def list_participants(market: CurrentMarket, page: Page, caller: Caller, role: Role | None = None) -> dict[str, Any]:
    """Who holds which role, for the operator, its governance key and auditors."""
    with market.reading() as session:
        query = participants_of(session, caller, role)
        return page.select(session, query, lambda rows: [_participant(row) for (row,) in rows])


def _participant(row: RoleHolding) -> dict[str, Any]:
    return {"account": row.account, "role": row.role, "granted_at": row.granted_at, "granted_by": row.granted_by}


@router.post("/transactions/prepare")
def prepare_transaction(
    market: CurrentMarket,
    caller: Caller,
    action: Annotated[AnyAction, Body(openapi_examples=_EXAMPLES)],
    response: Response,
) -> dict[str, Any]:
    """The transaction of an action, with the fields of an Ethereum transaction, for the caller to sign.

    It is tried first: what the contract would refuse is refused here. Nothing is kept.
    """
    response.headers["Cache-Control"] = "no-store"  # its nonce is good for now only
    return operator.prepare(market, caller, action)


@router.post("/transactions", status_code=201)
def submit_transaction(market: CurrentMarket, caller: Caller, body: RawTransaction) -> dict[str, Any]:
    """Carry a signed transaction; the answer holds the events that it caused, a new nanogrid's id among them."""
    return operator.submit(market, caller, bytes.fromhex(body.raw_transaction[2:]))
