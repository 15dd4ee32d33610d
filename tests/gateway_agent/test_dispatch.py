"""Dispatch: what is accepted, what is refused and why, and how a lease runs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_agent.dispatch import Authorities, Conditions, Tracked, advance, receive, refusal, running
from market.domain.messages import Command
from market.domain.signing import address_of, sign_message
from market.domain.states import DispatchState
from oracle.messages import CommandProof, DispatchKind, DispatchOrder
from tests.gateway_agent.world import (
    DSO_KEY,
    NANOGRID,
    ORACLE_KEY,
    SETTLEMENT,
    SIGNALS,
    T0,
    UNIT_S,
    dispatch_id,
    order,
    snapshot,
)

GATEWAY = "0x" + "9a" * 20
AUTHORITIES = Authorities(NANOGRID, address_of(ORACLE_KEY), address_of(DSO_KEY), SETTLEMENT, SIGNALS, UNIT_S)
STRANGER_KEY = bytes(31) + b"\x07"
START = T0 + 10 * UNIT_S
BEFORE = Conditions(START - 800)


def command(name: str, quantity: int = 300, direction: int = 1, **fields: Any) -> DispatchOrder:
    key = fields.pop("command_key", DSO_KEY)
    proven = fields.pop("proven_quantity", quantity)
    message = Command(NANOGRID, START, fields.pop("product", 5), direction, proven, bytes(32))
    signature = sign_message(key, message, SIGNALS).hex()
    proof = CommandProof(
        product=message.product,
        direction=1 if direction else 0,
        quantity=proven,
        reason="0x" + "00" * 32,
        signature=signature,
    )
    sign = 1 if direction else -1
    return order(name, START, sign * quantity, kind=DispatchKind.COMMAND, command=proof, **fields)


def accept(
    *orders: DispatchOrder, conditions: Conditions = BEFORE, known: dict[str, Tracked] | None = None
) -> dict[str, Tracked]:
    book = dict(known or {})
    for tracked in receive(book, snapshot(GATEWAY, 1, orders), AUTHORITIES, conditions):
        book[tracked.order.id] = tracked
    return book


def until(book: dict[str, Tracked], conditions: Conditions) -> dict[str, Tracked]:
    while changed := advance(book.values(), UNIT_S, conditions):
        book = book | {tracked.order.id: tracked for tracked in changed}
    return book


def state(book: dict[str, Tracked], name: str) -> DispatchState:
    return book[dispatch_id(name)].state


def test_an_award_in_order_is_accepted() -> None:
    assert refusal(order("a", START), AUTHORITIES, BEFORE) == ""
    assert state(accept(order("a", START)), "a") is DispatchState.ACCEPTED


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (order("a", START, key=STRANGER_KEY), "wrong-signer"),
        (order("a", START, key=DSO_KEY), "wrong-signer"),
        (order("a", START).model_copy(update={"target_w": -801}), "wrong-signer"),
        (order("a", START).model_copy(update={"signature": "0x" + "00" * 64}), "bad-signature"),
        (order("a", START, nanogrid=NANOGRID + 1), "other-nanogrid"),
        (order("a", START + 1), "no-interval"),
        (order("a", START - UNIT_S), "late"),
        (order("a", START + 200 * UNIT_S), "too-early"),
        (order("a", START, lease_end=START + UNIT_S - 1), "bad-lease"),
        (order("a", START, lease_end=START + 2 * UNIT_S + 1), "bad-lease"),
        (order("a", START, target_w=-2_000), "inconsistent"),
        (command("a", command_key=ORACLE_KEY), "wrong-signer"),
        (command("a", proven_quantity=299), "inconsistent"),
        (command("a", product=1), "inconsistent"),
    ],
)
def test_a_bad_dispatch_is_rejected_with_its_reason(found: DispatchOrder, code: str) -> None:
    book = accept(found)
    assert book[found.id].state is DispatchState.REJECTED
    assert book[found.id].reason.startswith(code + ":")
    assert running(until(book, Conditions(START)).values(), START) == []


def test_a_command_counts_when_the_dso_signed_it() -> None:
    assert refusal(command("c"), AUTHORITIES, BEFORE) == ""
    assert refusal(command("c", key=DSO_KEY), AUTHORITIES, BEFORE) == ""


def test_the_owners_stop_refuses_and_aborts() -> None:
    stopped = Conditions(BEFORE.now, stopped=True)
    assert refusal(order("a", START), AUTHORITIES, stopped).startswith("owner-stop:")
    book = until(accept(order("a", START)), Conditions(START))
    assert state(book, "a") is DispatchState.STARTED
    book = until(book, Conditions(START + 1, stopped=True))
    assert state(book, "a") is DispatchState.ABORTED


def test_a_dispatch_comes_late_after_a_fifteenth_of_the_interval() -> None:
    assert refusal(order("a", START), AUTHORITIES, Conditions(START + 60)) == ""
    assert refusal(order("a", START), AUTHORITIES, Conditions(START + 61)).startswith("late:")


def test_a_dispatch_starts_with_its_interval_and_succeeds_at_its_end() -> None:
    book = accept(order("a", START))
    assert state(until(book, Conditions(START - 1)), "a") is DispatchState.ACCEPTED
    book = until(book, Conditions(START))
    assert state(book, "a") is DispatchState.STARTED
    assert [each.order.id for each in running(book.values(), START)] == [dispatch_id("a")]
    book = until(book, Conditions(START + UNIT_S))
    assert state(book, "a") is DispatchState.SUCCEEDED
    assert running(book.values(), START + UNIT_S) == []


def test_nothing_runs_beyond_its_lease() -> None:
    book = until(accept(order("a", START)), Conditions(START))
    lease_end = book[dispatch_id("a")].order.lease_end
    assert running(book.values(), lease_end - 1) != []
    assert running(book.values(), lease_end) == []


def test_a_lost_connection_ends_it_after_the_grace() -> None:
    book = until(accept(order("a", START)), Conditions(START))
    book = until(book, Conditions(START + 300, lost_at=START, grace_s=300))
    assert state(book, "a") is DispatchState.STARTED
    book = until(book, Conditions(START + 301, lost_at=START, grace_s=300))
    assert state(book, "a") is DispatchState.ABORTED


def test_a_gateway_that_was_away_during_the_interval_says_so() -> None:
    book = until(accept(order("a", START)), Conditions(START + 3 * UNIT_S))
    assert state(book, "a") is DispatchState.ABORTED
    assert book[dispatch_id("a")].reason.startswith("missed:")


def test_the_same_dispatch_twice_is_one() -> None:
    book = accept(order("a", START))
    assert receive(book, snapshot(GATEWAY, 2, [order("a", START)]), AUTHORITIES, BEFORE) == []


def test_a_second_award_for_the_interval_conflicts() -> None:
    book = accept(order("b", START), known=accept(order("a", START), order("b", START + UNIT_S)))
    assert state(accept(order("a", START), order("c", START)), "c") is DispatchState.REJECTED
    assert state(book, "a") is DispatchState.REVOKED


def test_active_and_reactive_awards_of_an_interval_stand_beside_each_other() -> None:
    book = accept(order("a", START), order("q", START, energy="REACTIVE", target_var=500))
    assert len(running(until(book, Conditions(START)).values(), START)) == 2


def test_a_command_takes_the_place_of_an_award() -> None:
    book = accept(order("a", START))
    book = accept(command("c"), order("a", START), known=book)
    assert state(book, "a") is DispatchState.REVOKED
    assert state(book, "c") is DispatchState.ACCEPTED
    assert state(accept(order("a", START), command("c")), "a") is DispatchState.REJECTED


def test_a_forged_command_revokes_nothing() -> None:
    book = accept(command("c", command_key=STRANGER_KEY), order("a", START), known=accept(order("a", START)))
    assert state(book, "a") is DispatchState.ACCEPTED


def test_what_the_oracle_takes_back_is_revoked_until_the_interval_ends() -> None:
    book = until(accept(order("a", START)), Conditions(START))
    assert state(accept(conditions=Conditions(START + 5), known=book), "a") is DispatchState.REVOKED
    assert state(accept(conditions=Conditions(START + UNIT_S), known=book), "a") is DispatchState.STARTED


@given(
    st.lists(
        st.tuples(st.integers(0, 2_000), st.booleans(), st.none() | st.integers(0, 2_000)), min_size=1, max_size=12
    )
)
def test_nothing_is_executed_outside_its_interval_or_after_an_end(steps: list[tuple[int, bool, int | None]]) -> None:
    book = accept(order("a", START))
    ended = False
    now = START - 900
    for forward_s, stopped, lost_s in steps:
        now += forward_s
        lost_at = None if lost_s is None else now - lost_s
        book = until(book, Conditions(now, stopped, lost_at, 300))
        runs = bool(running(book.values(), now))
        assert not runs or START <= now < START + UNIT_S
        assert not (ended and runs)
        ended = ended or not book[dispatch_id("a")].is_open
