"""A link does to real connections what it says."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from scripts.chaos.links import Link, LinkState


@asynccontextmanager
async def echo(free_ports: Callable[[], int]) -> AsyncIterator[Link]:
    """A link to a server that says back what it hears."""

    async def say_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while heard := await reader.read(1024):
            writer.write(heard)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(say_back, "127.0.0.1", port := free_ports())
    link = Link("echo", free_ports(), port)
    await link.start()
    try:
        yield link
    finally:
        await link.stop()
        server.close()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: bytes) -> bytes:
    writer.write(what)
    await writer.drain()
    return await asyncio.wait_for(reader.readexactly(len(what)), 2)


async def test_an_open_link_forwards_both_ways(free_ports: Callable[[], int]) -> None:
    async with echo(free_ports) as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        assert await ask(reader, writer, b"x" * 100_000) == b"x" * 100_000
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 2) == b"", "an end is passed on"
        writer.close()


async def test_a_cut_link_closes_what_is_open_and_refuses_what_comes(free_ports: Callable[[], int]) -> None:
    async with echo(free_ports) as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        assert await ask(reader, writer, b"before") == b"before"
        await link.become(LinkState.CUT)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await ask(reader, writer, b"after")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await ask(*await asyncio.open_connection("127.0.0.1", link.port), b"new")
        await link.become(LinkState.OPEN)
        assert await ask(*await asyncio.open_connection("127.0.0.1", link.port), b"again") == b"again"
        writer.close()


async def test_a_stalled_link_keeps_connections_and_passes_nothing_until_it_is_open(
    free_ports: Callable[[], int],
) -> None:
    async with echo(free_ports) as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        assert await ask(reader, writer, b"before") == b"before"
        await link.become(LinkState.STALLED)
        writer.write(b"meanwhile")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(9), 0.5)
        await link.become(LinkState.OPEN)
        assert await asyncio.wait_for(reader.readexactly(9), 2) == b"meanwhile"
        writer.close()


async def test_a_slow_link_delivers_late(free_ports: Callable[[], int]) -> None:
    async with echo(free_ports) as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        await link.become(LinkState.SLOW)
        begun_s = time.monotonic()
        assert await ask(reader, writer, b"late") == b"late"
        assert time.monotonic() - begun_s >= 0.5, "there and back"
        writer.close()


async def test_a_reset_ends_the_other_side_too(free_ports: Callable[[], int]) -> None:
    """A server that is killed with a question unread resets the connection; who waited for the answer waited on."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        no_linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        writer.transport.abort()

    server = await asyncio.start_server(reset, "127.0.0.1", port := free_ports())
    link = Link("reset", free_ports(), port)
    await link.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"question")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 2)
        writer.close()
    finally:
        await link.stop()
        server.close()
