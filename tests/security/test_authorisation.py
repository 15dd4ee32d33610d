"""Who may do what through the API: docs/authorisation.md says it of every route, caller and object, and it is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from market.api.app import create_app
from market.clock import SystemClock
from market.services.market import Market
from tests.bad_input.state import state_of
from tests.security.changing_routes import CHANGING
from tests.security.matrix import WORDS, Standstill, committed, probed, route_of, routes_of, shown, word_for
from tests.security.principals import Caller, callers_of
from tests.security.probes import Case, Probe
from tests.security.reading_routes import READING
from tests.security.town import Town

PROBES = READING | CHANGING
TABLE = committed()


@dataclass
class Stand:
    """The populated market, its callers, and how to undo what they do."""

    town: Town
    http: httpx.Client
    callers: dict[str, Caller]
    still: Standstill

    def state(self) -> Any:
        world = self.town.room.world
        return state_of(world.engine, world.contracts)

    def allowed(
        self, probe: Probe, wanted: dict[str, frozenset[str]], expected: bool, changes: bool
    ) -> set[tuple[str, str]]:
        """(caller, object) that got what they asked for, of those whom the table allows it, or of the others."""
        found = set()

        def asked(case: Case) -> bool:
            if (case.spot.name in wanted[case.caller.name]) is not expected:
                return False
            return probe(case)

        for case, is_done in probed(self.town, self.http, self.callers.values(), asked):
            if is_done:
                found.add((case.caller.name, case.spot.name))
            if is_done and changes:
                self.still.restore()
        return found


@pytest.fixture(scope="module")
def stand(town: Town) -> Iterator[Stand]:
    callers = callers_of(town)
    with httpx.Client(base_url=town.room.url, timeout=60) as http:
        for caller in callers.values():  # a key's first use is written down
            http.get("/v1/market", headers=caller.headers)
            http.get("/v1/api-keys", headers=caller.headers)
        yield Stand(town, http, callers, Standstill.of(town, Path(town.room.keys) / "market.sqlite"))


def described() -> Any:
    """The application without a market behind it: enough to be asked for its routes."""
    return create_app(cast(Market, SimpleNamespace(clock=SystemClock())))


def test_the_table_names_every_route_and_nothing_else() -> None:
    assert {route_of(name) for name in TABLE} == routes_of(described())
    assert list(TABLE) == list(PROBES)


def test_the_table_has_a_word_for_every_caller(stand: Stand) -> None:
    assert all(list(row) == list(stand.callers) for row in TABLE.values())
    assert {word for row in TABLE.values() for word in row.values()} <= set(WORDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBES)
def test_a_caller_gets_what_the_table_says_and_a_refusal_changes_nothing(stand: Stand, name: str) -> None:
    wanted = {caller: WORDS[TABLE[name][caller]] for caller in stand.callers}
    before = stand.state()
    found = stand.allowed(PROBES[name], wanted, expected=False, changes=name in CHANGING)
    after = stand.state()
    assert {part for part in after if after[part] != before[part]} == set(), "a refused call left something behind"
    found |= stand.allowed(PROBES[name], wanted, expected=True, changes=name in CHANGING)
    row = {caller: word_for(frozenset(spot for who, spot in found if who == caller)) for caller in stand.callers}
    assert row == TABLE[name], f"the row is: {shown(name, row)}"


def test_a_token_that_nobody_has_is_refused_by_every_route_that_looks_at_one(stand: Stand) -> None:
    """Before anything else: neither path nor body matter."""
    secured = [
        (method, re.sub(r"{\w+}", "1", path))
        for path, methods in described().openapi()["paths"].items()
        for method, route in methods.items()
        if "security" in route
    ]
    assert len(secured) > 30
    for token in ("mg_" + "x" * 43, "x" * 43):
        headers = {"Authorization": f"Bearer {token}"}
        answers = {(method, path): stand.http.request(method, path, headers=headers) for method, path in secured}
        assert {call: answer.status_code for call, answer in answers.items() if answer.status_code != 401} == {}
