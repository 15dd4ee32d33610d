"""Lists that grow are read page by page, and what is not shown stays in the database."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from market.desks.market_client import MarketProblem
from market.domain.messages import Command
from market.domain.products import Direction, Phase, Product
from market.domain.signing import address_of
from market.store.facts import Baseline
from market.store.projections import Nanogrid
from market.store.work import Dispatch
from tests.api.conftest import Caller
from tests.chain.world import EUR, NANOGRIDS, NO_REASON, NODE, PORTFOLIO, U, before, gateway_key, nanogrid, owner_key
from tests.cli.conftest import Room
from tests.conftest import TEST_EPOCH

T = TEST_EPOCH + 8 * U
GATEWAY = address_of(gateway_key(0))


@pytest.fixture
def room_database_url(database_url: str) -> str:
    """Both kinds of databases: the pages are cut, and the balances counted, by them."""
    return database_url


def baselines(room: Room) -> None:
    with room.market.sessions() as session:
        for portfolio, values in ((PORTFOLIO, [-500, -501, -502]), (PORTFOLIO + 1, [7])):
            session.add(
                Baseline(portfolio=portfolio, interval=T, kind=0, values=values, root="0x" + "00" * 32, nominated_at=T)
            )
    registry = room.world.contracts.registry.functions
    room.world.send("operator", registry.registerPortfolio(PORTFOLIO + 1, NODE, room.world.address("aggregator"), "2"))


def signals(room: Room) -> None:
    room.world.at(before(T, 300))
    for sequence in (1, 2, 3, 4):
        room.world.signal(T, Phase.YELLOW, sequence)


def commands(room: Room) -> None:
    room.world.at(before(T, 60))
    room.world.signal(T, Phase.RED, 1)
    for index in range(NANOGRIDS):
        message = Command(nanogrid(index), T, Product.VC_EMERGENCY_P, Direction.DOWN, 100 + index, NO_REASON)
        room.world.decide(room.world.contracts.signals.functions.giveCommand, message, "dso")


def dispatches(room: Room) -> None:
    with room.market.sessions() as session:
        for place in range(4):
            session.add(
                Dispatch(
                    id=f"0x{place:064x}", kind="AWARD", nanogrid=nanogrid(0), gateway=GATEWAY, interval=T + place * U,
                    product=0, direction=1, quantity=100, baseline=500, change=-100, target_w=1600, target_var=0,
                    lease_end=T, signature=bytes(64), state="NEW", reason=None, offer=None, ordinal=None,
                    decision=None, created_at=T, published_at=None, answered_at=None, started_at=None, ended_at=None,
                )
            )  # fmt: skip


def deposits(room: Room) -> None:
    world = room.world
    token, settlement = world.contracts.token.functions, world.contracts.settlement
    world.send("operator", token.mint(world.address("operator"), 6 * EUR, bytes(32)))
    world.send("operator", token.approve(settlement.address, 6 * EUR))
    for amount in (1, 2, 3):
        world.send("operator", settlement.functions.deposit(world.address("dso"), amount * EUR))


@pytest.mark.parametrize(
    ("make", "path", "query", "count"),
    [
        (baselines, f"/v1/nodes/{NODE}/baselines", {"interval": T}, 4),
        (signals, f"/v1/nodes/{NODE}/signals", {"first": T, "last": T}, 4),
        (commands, "/v1/commands", {"node": NODE}, 4),
        (dispatches, "/v1/dispatches", {"node": NODE}, 4),
        (deposits, "/v1/accounts/{dso}/statement", {}, 4),
        (lambda _: None, f"/v1/nodes/{NODE}/nanogrids", {}, 4),
    ],
    ids=["baselines", "signals", "commands", "dispatches", "statement", "nanogrids"],
)
def test_pages_put_together_are_the_list(
    room: Room, caller: Caller, make: Any, path: str, query: dict[str, Any], count: int
) -> None:
    make(room)
    room.market.index()
    path = path.format(dso=room.world.address("dso"))
    dso = caller("dso")
    whole = dso.get(path, **query)
    assert (len(whole["items"]), whole["next"]) == (count, None)
    assert len({str(item) for item in whole["items"]}) == count, "each once"
    for limit in (1, 3, count):
        first = dso.get(path, limit=limit, **query)
        assert (first["items"], first["next"]) == (whole["items"][:limit], limit if limit < count else None)
        assert list(dso.items(path, limit=limit, **query)) == whole["items"]
    assert dso.get(path, after=count + 5, **query)["items"] == []
    with pytest.raises(MarketProblem):
        dso.get(path, limit=1001, **query)


def test_a_page_of_a_history_takes_no_more_rows_from_the_database_than_it_shows(room: Room, caller: Caller) -> None:
    dispatches(room)
    dso = caller("dso")
    dso.sign_in()
    loaded: list[str] = []

    def note(row: Dispatch, _: Any) -> None:
        loaded.append(row.id)

    event.listen(Dispatch, "load", note)
    dso.get("/v1/dispatches", node=NODE, limit=1, after=1)
    event.remove(Dispatch, "load", note)
    assert len(loaded) == 2, "one to show, and one that says that there are more"


def test_a_page_of_a_statement_counts_what_was_before_it(room: Room, caller: Caller) -> None:
    deposits(room)
    room.market.index()
    dso = caller("dso")
    path = f"/v1/accounts/{dso.address}/statement"
    balances = [line["balance_ueur"] for line in dso.get(path)["items"]]
    assert balances == [1000 * EUR, 1001 * EUR, 1003 * EUR, 1006 * EUR]
    [last] = dso.get(path, after=3)["items"]
    assert (last["amount_ueur"], last["balance_ueur"]) == (3 * EUR, 1006 * EUR)


def test_an_owners_purses_are_counted_apart_on_any_page(room: Room, caller: Caller) -> None:
    room.world.at(TEST_EPOCH + U)
    room.world.give_nanogrid(1, owner_key(1), address_of(owner_key(0)))
    room.world.at(TEST_EPOCH + 2 * U)
    token, settlement = room.world.contracts.token.functions, room.world.contracts.settlement
    room.world.send("operator", token.mint(room.world.address("operator"), 3 * EUR, bytes(32)))
    room.world.send("operator", token.approve(settlement.address, 3 * EUR))
    for index, amount in ((0, 1), (1, 2)):
        room.world.send("operator", settlement.functions.fundBond(nanogrid(index), amount * EUR))
    room.market.index()
    owner = caller("owner-0")
    lines = list(owner.items(f"/v1/accounts/{owner.address}/statement", limit=1))
    shown = [(line["nanogrid"], line["balance_ueur"]) for line in lines]
    # What the bought one's bond got from its former owner is not shown, and counts all the same.
    assert shown == [(nanogrid(0), 80 * EUR), (nanogrid(0), 81 * EUR), (nanogrid(1), 82 * EUR)]
    with room.market.reading() as session:
        assert session.get_one(Nanogrid, nanogrid(1)).bond_ueur == 82 * EUR
