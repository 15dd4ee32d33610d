"""What stands before every route: size and media type of bodies, and answers given again to a repeated POST."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import FastAPI, Request, Response
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import ClientDisconnect

from market import checkpoints
from market.api.problems import NO_ANSWER, no_answer, problem_document, problem_of, problem_response
from market.checkpoints import BidPoint
from market.services.access import IdempotencyKeyReused, NotSignedIn, principal_of
from market.services.market import Market
from market.store.work import IdempotencyKey

MAX_BODY_BYTES: Final = 512 * 1024
BODY_WITHIN_S: Final = 30.0
"""How long a body may take [s]."""
_MAX_KEY_CHARACTERS: Final = 200
_SUBJECT_CHARACTERS: Final = 64

Next = Callable[[Request], Awaitable[Response]]


def install(app: FastAPI, market: Market) -> None:
    """Guard an application's routes."""

    async def guard(request: Request, call_next: Next) -> Response:
        if request.method != "POST":
            return await call_next(request)
        if refusal := await _refusal(request):
            return refusal
        key = request.headers.get("idempotency-key")
        if key is None:
            return await call_next(request)
        try:
            return await _once(market, request, key, call_next)
        except NO_ANSWER as error:
            return no_answer(request, error)

    app.add_middleware(BaseHTTPMiddleware, dispatch=guard)


async def _refusal(request: Request) -> Response | None:
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            body = await _body(request)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody is there to read it, and nothing has failed
    except TimeoutError:
        detail = f"The body did not come whole within {BODY_WITHIN_S:.0f} s. Send it again."
        return problem_response(problem_document("too-slow", "The body came too slowly", 408, detail))
    if body is None:
        return problem_response(
            problem_document("body-too-large", "The body is too large", 413, f"At most {MAX_BODY_BYTES} bytes.")
        )
    media_type = request.headers.get("content-type", "of no named type").partition(";")[0].strip()
    if body and media_type != "application/json":
        return problem_response(
            problem_document("wrong-media-type", "Send JSON", 415, f"The body is {media_type}, not application/json.")
        )
    request._body = body
    return None


async def _body(request: Request) -> bytes | None:
    """The whole body; None when it is too large."""
    size, chunks = 0, []
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


async def _once(market: Market, request: Request, key: str, call_next: Next) -> Response:
    if not 0 < len(key) <= _MAX_KEY_CHARACTERS:
        detail = f"Idempotency-Key has 1 to {_MAX_KEY_CHARACTERS} characters."
        return problem_response(problem_document("wrong-idempotency-key", "Wrong Idempotency-Key", 422, detail))
    try:
        caller = await asyncio.to_thread(_subject, market, request.headers.get("authorization", ""))
    except NotSignedIn:
        return await call_next(request)  # which says so
    body_hash = "0x" + hashlib.sha256(await request.body()).hexdigest()
    known = await asyncio.to_thread(_known, market, caller, request.url.path, key)
    if known is not None and known.request_hash != body_hash:
        return problem_response(problem_of(IdempotencyKeyReused()))
    if known is not None:
        return Response(known.response_body, known.response_status or 200, media_type=known.response_type)
    response = await call_next(request)
    body = b"".join([chunk async for chunk in response.body_iterator])  # type: ignore[attr-defined]
    # Only what was done is remembered: a refusal may be mended, and every action is harmless to repeat by itself.
    # Answers that hold a secret are shown once and kept nowhere; their routes see to it that a retry is harmless.
    if response.status_code < 300 and response.headers.get("cache-control") != "no-store":
        await asyncio.to_thread(_remember, market, caller, request.url.path, key, body_hash, response, body)
        checkpoints.passed(BidPoint.REMEMBERED, request.url.path)
    return Response(body, response.status_code, dict(response.headers), media_type=response.media_type)


def _subject(market: Market, authorization: str) -> str:
    """Whose key it is: the same over all sessions of a wallet. Raises NotSignedIn."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        return "nobody"
    with market.sessions() as session:
        principal = principal_of(session, token, market.now_s())
    limits = (principal.address, sorted(principal.scopes or ()), principal.nanogrid)
    return hashlib.sha256(repr(limits).encode()).hexdigest()[:_SUBJECT_CHARACTERS]


def _known(market: Market, caller: str, route: str, key: str) -> IdempotencyKey | None:
    with market.reading() as session:
        return session.scalar(
            select(IdempotencyKey).where(
                IdempotencyKey.subject == caller, IdempotencyKey.route == route, IdempotencyKey.key == key
            )
        )


def _remember(
    market: Market, caller: str, route: str, key: str, body_hash: str, response: Response, body: bytes
) -> None:
    row = IdempotencyKey(
        key=key,
        subject=caller,
        route=route,
        request_hash=body_hash,
        response_status=response.status_code,
        response_body=body,
        response_type=response.headers.get("content-type"),
        created_at=market.now_s(),
    )
    try:
        with market.sessions() as session:
            session.add(row)
    except IntegrityError:
        return  # a second call with the same key was quicker; both did the same
