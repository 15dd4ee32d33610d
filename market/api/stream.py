"""Server-sent events: that something happened; what it is, the other routes say to whom it concerns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Header, Query, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from market.api.bodies import Number
from market.api.context import Credentials, CurrentMarket, OptionalCaller, signed_in
from market.api.problems import NO_ANSWER, note_no_answer
from market.domain.errors import ValidationFailed, Violation
from market.services.access import NotSignedIn, Principal
from market.services.market import Market
from market.services.stream import TOPICS, Cursor, Told, Wanted, head, look

router = APIRouter(tags=["stream"])

_EXAMPLE: Final = (
    "id: 812.3.57\nevent: dispatches\n"
    'data: {"event":"PUBLISHED","subject":"0xab…","interval":1463738400,"at":1463737590,"node":1,"nanogrid":65543}\n\n'
)
_LOOK_EVERY_S: Final = 0.25
_CALLER_EVERY_S: Final = 30.0
"""A session that ends or a key that is revoked hears this much more."""


@router.get(
    "/stream",
    response_class=EventSourceResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}}}},
)
async def stream(
    request: Request,
    market: CurrentMarket,
    caller: OptionalCaller,
    credentials: Credentials,
    topics: Annotated[str, Query(description="Topics, separated by commas: " + ", ".join(TOPICS))] = "signals,offers",
    node: Annotated[Number | None, Query(description="Only what happens at this node")] = None,
    nanogrid: Annotated[
        Number | None, Query(description="Only what concerns this nanogrid, or its portfolio's auctions as a whole")
    ] = None,
    offer: Annotated[str | None, Query(pattern=r"^0x[0-9a-f]{64}$", description="Only what is of this offer")] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> EventSourceResponse:
    """Events of the topics from now on, or after `Last-Event-ID`.

    The chain's events are for everybody. A signed-in caller also hears of what it may read: its own bids as they are
    received, dispatches on their way, readings as they come.
    """
    wanted = Wanted(_known(topics), node, nanogrid, offer)
    try:
        start = None if last_event_id is None else Cursor.parse(last_event_id)
    except ValueError:
        raise ValidationFailed([Violation("/Last-Event-ID", last_event_id, "must be an id of this stream")]) from None
    if start is None:
        # Before the answer begins: what its caller does next must not be missed.
        start = await asyncio.to_thread(_head, market)
    again = partial(signed_in, request, market, credentials)
    return EventSourceResponse(
        _until_no_answer(request, _events(request, market, wanted, caller, again, start)), ping=15
    )


def _known(topics: str) -> list[str]:
    """The topics of a list. Raises ValidationFailed."""
    named = [topic.strip() for topic in topics.split(",")]
    wrong = [
        Violation("/topics", topic, f"must be one of {', '.join(TOPICS)}") for topic in named if topic not in TOPICS
    ]
    if wrong:
        raise ValidationFailed(wrong)
    return named


async def _until_no_answer(request: Request, events: AsyncIterator[ServerSentEvent]) -> AsyncIterator[ServerSentEvent]:
    """Events as long as the database answers. Then the stream ends, and its listener comes again with its last id."""
    try:
        async for event in events:
            yield event
    except NO_ANSWER as error:
        note_no_answer(request, error)


async def _events(
    request: Request,
    market: Market,
    wanted: Wanted,
    caller: Principal | None,
    caller_again: Callable[[], Principal | None],
    cursor: Cursor,
) -> AsyncIterator[ServerSentEvent]:
    checked_at = time.monotonic()
    while not await request.is_disconnected():
        if caller is not None and time.monotonic() - checked_at >= _CALLER_EVERY_S:
            try:
                caller, checked_at = await asyncio.to_thread(caller_again), time.monotonic()
            except NotSignedIn:
                return
        before = cursor
        cursor, found = await asyncio.to_thread(_look, market, cursor, wanted, caller)
        for at, topic, what in found:
            yield ServerSentEvent(data=orjson.dumps(what).decode(), event=topic, id=str(at))
        if cursor == before:
            await asyncio.sleep(_LOOK_EVERY_S)


def _head(market: Market) -> Cursor:
    with market.reading() as session:
        return head(session)


def _look(market: Market, cursor: Cursor, wanted: Wanted, caller: Principal | None) -> tuple[Cursor, list[Told]]:
    with market.reading() as session:
        return look(session, cursor, wanted, caller)
