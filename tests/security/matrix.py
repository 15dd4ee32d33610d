"""The table of who may do what: its rows and words, and a market on which each cell can be tried and undone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import httpx
from fastapi import FastAPI
from starlette.routing import Mount, Route

from market.chain.profiles import rpc
from tests.security.principals import Caller
from tests.security.probes import Case, Probe, Spot
from tests.security.town import NOW, Town

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "authorisation.md"
WORDS: Final = {
    "–": frozenset[str](),
    "own": frozenset({"own"}),
    "node": frozenset({"own", "near"}),
    "all": frozenset({"own", "near", "far"}),
}
"""A word of the table → the objects that it allows."""

Row = Mapping[str, str]
"""Caller → word."""


def routes_of(app: FastAPI) -> set[str]:
    """Method and path of everything that an application answers at."""
    found = {f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods}
    for route in _beside_the_api(app.routes):
        if isinstance(route, Mount):
            found.add(f"GET {route.path}/{{path}}")
        elif isinstance(route, Route):
            found |= {f"{method} {route.path}" for method in (route.methods or ()) if method != "HEAD"}
    return found


def _beside_the_api(routes: Any) -> Iterator[Any]:
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from (each for each in _beside_the_api(inner.routes) if not getattr(each, "include_in_schema", True))


def route_of(name: str) -> str:
    """The route of a row; what stands behind it in brackets tells rows of one route apart."""
    return name.partition(" (")[0]


@dataclass
class Standstill:
    """A market to which everything that is done can be undone."""

    town: Town
    database: Path
    _kept: Path
    _snapshot: str = ""

    @classmethod
    def of(cls, town: Town, database: Path) -> Self:
        still = cls(town, database, database.with_suffix(".kept"))
        still._copy(database, still._kept)
        still._mark()
        return still

    def _copy(self, source: Path, target: Path) -> None:
        with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target, timeout=30)) as written:
            read.backup(written)

    def _mark(self) -> None:
        self._snapshot = rpc(self.town.room.world.contracts.web3, "evm_snapshot")

    def restore(self) -> None:
        """Chain and database as they were."""
        assert rpc(self.town.room.world.contracts.web3, "evm_revert", self._snapshot)
        self._mark()
        self.town.room.world.at(NOW)
        self._copy(self._kept, self.database)


def spots_of(town: Town) -> tuple[Spot, ...]:
    return Spot("own", town.near, 0), Spot("near", town.near, 1), Spot("far", town.far, 0)


def word_for(allowed: frozenset[str]) -> str:
    """How the table says what is allowed."""
    return next((word for word, spots in WORDS.items() if spots == allowed), "+".join(sorted(allowed)))


def probed(town: Town, http: httpx.Client, callers: Iterable[Caller], probe: Probe) -> Iterator[tuple[Case, bool]]:
    """Every call of a row, and whether its caller got what it asked for."""
    for caller in callers:
        for spot in spots_of(town):
            case = Case(town, http, caller, spot)
            yield case, probe(case)


# THE PAGE


def shown(name: str, row: Row) -> str:
    """A row as the page shows it."""
    return f"| `{name}` | " + " | ".join(row.values()) + " |"


def committed() -> dict[str, Row]:
    """The table that stands in the page."""
    text = PAGE.read_text(encoding="utf-8").partition("\n| route |")
    lines = (text[1] + text[2]).strip().splitlines()
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {cells[0].strip("`"): dict(zip(head[1:], cells[1:], strict=True)) for cells in rows}
