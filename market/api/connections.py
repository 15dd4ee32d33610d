"""The HTTP server's connections: how large a head may be, and how long a client may take to send or to read.

uvicorn waits for ever for a client that has begun a request, and for one that does not read its answer. Here both have
a deadline that no byte puts off.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11
import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from market.settings import ApiSettings

log = structlog.get_logger(__name__)

MAX_HEAD_BYTES: Final = 16 * 1024
HEAD_WITHIN_S: Final = 10.0
"""From the connection, or from the first byte of another request on it, to the end of its head."""
BODY_WITHIN_S: Final = 40.0
"""From there to the end of its body; the API itself answers 408 some seconds before (market.api.guard)."""
READ_WITHIN_S: Final = 30.0
"""From the moment when a client's share of the buffers is full until it has taken most of it."""


def http_server(app: FastAPI, settings: ApiSettings) -> uvicorn.Server:
    """The server of an application, not running yet."""
    proxies = [each.strip() for each in settings.trusted_proxies.split(",") if each.strip()]
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=DeadlineProtocol,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        limit_concurrency=settings.connections,
        server_header=False,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    return uvicorn.Server(config)


class DeadlineProtocol(H11Protocol):
    """A connection that is cut when its client is too slow."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._awaited: str | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await("head", HEAD_WITHIN_S)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        state = self.conn.their_state
        if state is h11.IDLE:
            self._await("head", HEAD_WITHIN_S)
        elif state is h11.SEND_BODY:
            self._await("body", BODY_WITHIN_S)
        else:
            self._await(None, 0)

    def connection_lost(self, exc: Exception | None) -> None:
        self._await(None, 0)
        self._has_read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._has_read()
        self._reading = self.loop.call_later(READ_WITHIN_S, self._cut, "answer")

    def resume_writing(self) -> None:
        super().resume_writing()
        self._has_read()

    def _await(self, part: str | None, within_s: float) -> None:
        """From now on a part of a request is awaited, for so long; None: nothing is."""
        if part == self._awaited:
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._awaited = part
        self._deadline = None if part is None else self.loop.call_later(within_s, self._cut, part)

    def _has_read(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _cut(self, part: str) -> None:
        log.info("a slow client was cut off", address=self.client and self.client[0], awaited=part)
        self.transport.abort()
