"""What the modules here share: a broker that nobody kills, and the end of a scene that nobody disturbs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

from scripts.demo.supervisor import free_port
from tests.gateway_agent.world import Broker

End_co = TypeVar("End_co", covariant=True)
End = TypeVar("End")


class Scene(Protocol[End_co]):
    """Programs that are set up and not started yet, and what is played with them."""

    async def start(self) -> None: ...

    async def play(self) -> End_co: ...


class EndOf(Protocol):
    """Sets a scene up in a folder, and plays it."""

    def __call__(self, scene: Callable[[Path], AbstractAsyncContextManager[Scene[End]]], /) -> End: ...


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One for all tests of a module: each has gateways of its own."""
    found = Broker(tmp_path_factory.mktemp("broker"), free_port())
    found.start()
    yield found
    found.kill()


@pytest.fixture(scope="module")
def end_of(tmp_path_factory: pytest.TempPathFactory) -> EndOf:
    """How a scene ends when nobody is killed: what all others are compared with."""

    def play(scene: Callable[[Path], AbstractAsyncContextManager[Scene[End]]], /) -> End:
        async def undisturbed() -> End:
            async with scene(tmp_path_factory.mktemp("calm") / "scene") as calm:
                await calm.start()
                return await calm.play()

        return asyncio.run(undisturbed())

    return play
