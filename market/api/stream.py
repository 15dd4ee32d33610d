"""Server-sent events: that something happened; what it is, the other routes say to whom it concerns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Header, Query, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from market.api.context import CurrentMarket
from market.domain.errors import ValidationFailed, Violation
from market.services.market import Market
from market.services.stream import TOPICS, Cursor, events_after, head

router = APIRouter(tags=["stream"])

_LOOK_EVERY_S: Final = 0.25


@router.get("/stream")
async def stream(
    request: Request,
    market: CurrentMarket,
    topics: Annotated[str, Query(description="Topics, separated by commas: " + ", ".join(TOPICS))] = "signals,offers",
    last_event_id: Annotated[str | None, Header()] = None,
) -> EventSourceResponse:
    """Events of the topics from now on, or after `Last-Event-ID`."""
    wanted = [topic.strip() for topic in topics.split(",")]
    unknown = [
        Violation("/topics", topic, f"must be one of {', '.join(TOPICS)}") for topic in wanted if topic not in TOPICS
    ]
    if unknown:
        raise ValidationFailed(unknown)
    try:
        start = None if last_event_id is None else Cursor.parse(last_event_id)
    except ValueError:
        raise ValidationFailed([Violation("/Last-Event-ID", last_event_id, "must be an id of this stream")]) from None
    return EventSourceResponse(_events(request, market, wanted, start), ping=15)


async def _events(
    request: Request, market: Market, topics: list[str], start: Cursor | None
) -> AsyncIterator[ServerSentEvent]:
    cursor = start if start is not None else await asyncio.to_thread(_head, market)
    while not await request.is_disconnected():
        found = await asyncio.to_thread(_after, market, cursor, topics)
        for cursor, topic, what in found:
            yield ServerSentEvent(data=orjson.dumps(what).decode(), event=topic, id=str(cursor))
        if not found:
            await asyncio.sleep(_LOOK_EVERY_S)


def _head(market: Market) -> Cursor:
    with market.reading() as session:
        return head(session)


def _after(market: Market, cursor: Cursor, topics: list[str]) -> list[tuple[Cursor, str, dict[str, object]]]:
    with market.reading() as session:
        return list(events_after(session, cursor, topics))
