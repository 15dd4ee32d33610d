"""Whether a withdrawal has been heard is asked every hundredth of a second, however many answers there have ever been.

It was asked of all answers once for each withdrawn order: 20 s at a million answers, in which nothing was settled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, text

from market.domain.states import DispatchState
from market.store.database import session_scope
from market.store.facts import Acknowledgement, GatewayStatus
from market.store.work import Dispatch, DispatchKind, OutboxState
from oracle import dispatching
from tests.chain.world import nanogrid
from tests.conftest import TEST_EPOCH
from tests.oracle.conftest import Desk

pytestmark = pytest.mark.postgresql

T = TEST_EPOCH
ELSEWHERE = 5_000
WITHDRAWN = 3
GATEWAYS = [f"0x{number:040x}" for number in range(WITHDRAWN)]


@pytest.fixture
def migrated_database_url(postgresql_database: str) -> str:
    """One kind only says how many rows it has looked at."""
    return postgresql_database


def order(number: int, gateway: str) -> Dispatch:
    return Dispatch(
        id=f"0x{number:064x}", kind=DispatchKind.AWARD, nanogrid=nanogrid(0), gateway=gateway, interval=T, product=0,
        direction=0, quantity=1, baseline=0, change=1, target_w=4, target_var=0, lease_end=T, signature=b"",
        offer=f"0x{0:064x}", ordinal=number, decision=None, state=OutboxState.REVOKED, reason=None, created_at=T,
        published_at=T, answered_at=T, started_at=None, ended_at=T,
    )  # fmt: skip


def answer(number: int, gateway: str, state: DispatchState) -> dict[str, Any]:
    return {
        "dispatch": f"0x{number:064x}", "gateway": gateway, "nanogrid": nanogrid(0), "state": state, "at": T,
        "reason": None, "signature": b"", "received_at": T,
    }  # fmt: skip


def looked_at(plan: dict[str, Any]) -> Iterator[int]:
    """How many rows of the answers each part of a plan has looked at."""
    if plan.get("Relation Name") == "acknowledgements":
        yield (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    for part in plan.get("Plans", ()):
        yield from looked_at(part)


def test_of_withdrawn_orders_their_own_answers_are_looked_at_and_no_others(desk: Desk) -> None:
    accepted, revoked = DispatchState.ACCEPTED, DispatchState.REVOKED
    given = [answer(number, GATEWAYS[number], accepted) for number in range(WITHDRAWN)]
    given += [answer(0, GATEWAYS[0], revoked)]
    given += [answer(1_000 + number, GATEWAYS[0], accepted) for number in range(ELSEWHERE)]
    with session_scope(desk.oracle.engine) as session:
        session.add_all(order(number, gateway) for number, gateway in enumerate(GATEWAYS))
        session.add_all(
            GatewayStatus(gateway=each, nanogrid=nanogrid(0), online=True, received_at=T) for each in GATEWAYS
        )
        session.execute(insert(Acknowledgement), given)
        session.execute(text("ANALYZE"))
    asked: list[tuple[str, Any]] = []

    def note(_c: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if "FROM acknowledgements" in statement:
            asked.append((statement, parameters))

    event.listen(desk.oracle.engine, "before_cursor_execute", note)
    assert dispatching.waiting_for(desk.oracle, T) == set(GATEWAYS[1:])
    [question] = asked
    assert sum(looked_at(plan_of(desk, *question))) <= 2 * len(given[:-ELSEWHERE])


def plan_of(desk: Desk, statement: str, parameters: Sequence[Any]) -> dict[str, Any]:
    with desk.oracle.engine.connect() as connection:
        found = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).scalar_one()
    [whole] = json.loads(found) if isinstance(found, str) else found
    return dict(whole["Plan"])
