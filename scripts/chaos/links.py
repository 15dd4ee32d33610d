"""A TCP connection that can be cut, stalled and slowed down: what stands between two parts of the market."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Final

_CHUNK_BYTES: Final = 16_384
_SLOW_S: Final = 0.25
"""How long each piece waits on a slow link [s]."""


class LinkState(StrEnum):
    """What a link does with what is sent over it."""

    OPEN = "OPEN"
    CUT = "CUT"
    """Connections are closed, new ones too."""
    STALLED = "STALLED"
    """Connections stay, and nothing passes: neither side is told."""
    SLOW = "SLOW"
    """Every piece comes late."""


class Link:
    """Listens on `port` of 127.0.0.1 and forwards to `target_port`."""

    def __init__(self, name: str, port: int, target_port: int) -> None:
        self.name = name
        self.port = port
        self._target_port = target_port
        self._state = LinkState.OPEN
        self._changed = asyncio.Condition()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, limit=_CHUNK_BYTES)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self._close_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def become(self, state: LinkState) -> None:
        """Change what the link does, for connections that are open too."""
        async with self._changed:
            self._state = state
            self._changed.notify_all()
        if state is LinkState.CUT:
            self._close_all()

    def _close_all(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._state is LinkState.CUT:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port, limit=_CHUNK_BYTES)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._open |= ends
        try:
            there = asyncio.create_task(self._forward(reader, far_writer))
            back = asyncio.create_task(self._forward(far_reader, writer))
            try:
                await asyncio.wait({there, back}, return_when=asyncio.FIRST_EXCEPTION)
            finally:
                there.cancel()
                back.cancel()
                await asyncio.gather(there, back, return_exceptions=True)
        finally:
            self._open -= ends
            for end in ends:
                end.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until one side ends the connection, which is passed on. ConnectionError: one breaks it."""
        while piece := await reader.read(_CHUNK_BYTES):
            if self._state is LinkState.SLOW:
                await asyncio.sleep(_SLOW_S)
            async with self._changed:
                await self._changed.wait_for(lambda: self._state is not LinkState.STALLED)
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
