"""Sign-in by wallet, and API keys."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Header, Response
from sqlalchemy import select

from market.api.bodies import NewApiKey, Number, Siwe
from market.api.context import Caller, CurrentMarket
from market.api.paging import Page
from market.domain.errors import ValidationFailed, Violation
from market.domain.intervals import iso
from market.services.access import GATEWAY_ROLE, STATEMENT, NotAllowed, new_api_key, new_nonce, sign_in
from market.services.roles import Unknown, is_owners, nanogrid_of, roles_of
from market.store.work import ApiKey

router = APIRouter(tags=["access"])


@router.post("/auth/nonce")
def give_nonce(market: CurrentMarket, response: Response) -> dict[str, Any]:
    """What a wallet needs to sign in: a nonce that is good once, for ten minutes."""
    response.headers["Cache-Control"] = "no-store"  # nobody else's call gets the same
    now_s = market.now_s()
    with market.sessions() as session:
        nonce = new_nonce(session, now_s)
    return {
        "nonce": nonce,
        "domain": urlsplit(market.public_url).netloc,
        "uri": market.public_url,
        "chain_id": market.chain_id,
        "statement": STATEMENT,
        "issued_at": iso(now_s),
    }


@router.post("/auth/siwe")
def sign_in_by_wallet(market: CurrentMarket, body: Siwe, response: Response) -> dict[str, Any]:
    """Open a session with a signed EIP-4361 message."""
    response.headers["Cache-Control"] = "no-store"
    domain = urlsplit(market.public_url).netloc
    with market.sessions() as session:
        token, opened = sign_in(session, body.message, body.signature, domain, market.chain_id, market.now_s())
        roles = roles_of(session, opened.address)
        return {"token": token, "expires_at": opened.expires_at, "address": opened.address, "roles": roles}


@router.post("/api-keys", status_code=201)
def make_api_key(
    market: CurrentMarket,
    caller: Caller,
    body: NewApiKey,
    response: Response,
    idempotency_key: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> dict[str, Any]:
    """An API key for a program. Its text is shown this once; a retry under the same Idempotency-Key revokes the key
    that the call made before and makes another, so that one is live."""
    response.headers["Cache-Control"] = "no-store"
    if caller.scopes is not None:
        raise NotAllowed("An API key cannot make others; sign in with the wallet.")
    if body.label == GATEWAY_ROLE:
        raise ValidationFailed([Violation("/label", body.label, "is what the keys of gateways are called")])
    with market.sessions() as session:
        if body.nanogrid is not None and not is_owners(caller, nanogrid_of(session, body.nanogrid)):
            raise NotAllowed(f"Nanogrid {body.nanogrid} is not yours.")
        key, text = new_api_key(
            session,
            caller.address,
            body.label,
            body.scopes,
            market.now_s(),
            body.nanogrid,
            body.expires_at,
            idempotency_key,
        )
        return {
            "id": key.id,
            "key": text,
            "scopes": key.scopes,
            "nanogrid": key.nanogrid,
            "expires_at": key.expires_at,
        }


@router.get("/api-keys")
def list_api_keys(market: CurrentMarket, page: Page, caller: Caller) -> dict[str, Any]:
    with market.reading() as session:
        query = select(ApiKey).where(ApiKey.subject == caller.address).order_by(ApiKey.id)
        return page.select(session, query, lambda rows: [_key_document(row) for (row,) in rows])


def _key_document(row: ApiKey) -> dict[str, Any]:
    return {
        "id": row.id,
        "label": row.role,
        "scopes": row.scopes,
        "nanogrid": row.nanogrid,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "last_used_at": row.last_used_at,
        "revoked_at": row.revoked_at,
    }


@router.delete("/api-keys/{key_id}")
def revoke_api_key(market: CurrentMarket, caller: Caller, key_id: Number) -> dict[str, Any]:
    """Revoke a key at once."""
    if caller.scopes is not None:
        raise NotAllowed("An API key cannot revoke others; sign in with the wallet.")
    with market.sessions() as session:
        row = session.get(ApiKey, key_id)
        if row is None or row.subject != caller.address:
            raise Unknown("api-key", key_id)
        row.revoked_at = row.revoked_at or market.now_s()
        return {"id": row.id, "revoked_at": row.revoked_at}
