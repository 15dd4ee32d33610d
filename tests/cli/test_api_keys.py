"""API keys at the command line: made once, limited to their scopes, ended at once."""

from __future__ import annotations

import pytest

from market.desks.market_client import MarketClient, MarketProblem
from tests.chain.world import U, nanogrid
from tests.cli.conftest import Room, Run
from tests.cli.test_operator import at, done

NEW = ("account", "api-key", "new", "--label", "Home automation")


def code_of(room: Room, key: str, path: str, body: dict[str, object] | None = None) -> str:
    """Code of the market's refusal to a program with an API key; empty where it is served."""
    with MarketClient(room.url, api_key=key, patience_s=5) as program:
        try:
            program.get(path) if body is None else program.post(path, body)
        except MarketProblem as refused:
            return refused.code
    return ""


def test_a_key_does_what_its_scopes_allow_until_it_is_revoked(room: Room, meritgrid: Run) -> None:
    owner = at(room, "owner-0")
    made = done(meritgrid(*NEW, "--scope", "read", "--nanogrid", nanogrid(0), *owner)).document
    assert (made["scopes"], made["nanogrid"]) == (["read"], nanogrid(0))
    own = f"/v1/nanogrids/{nanogrid(0)}"
    assert code_of(room, made["key"], own) == ""
    assert code_of(room, made["key"], f"{own}/payout", {}) == "not-allowed", "it has no scope `account`"

    listed = meritgrid("account", "api-key", "list", *owner)
    [row] = done(listed).document["items"]
    assert (row["id"], row["label"], row["revoked_at"]) == (made["id"], "Home automation", None)
    assert made["key"] not in listed.out

    assert meritgrid("account", "api-key", "revoke", made["id"], *at(room, "owner-1")).code == 2
    done(meritgrid("account", "api-key", "revoke", made["id"], *owner))
    assert code_of(room, made["key"], own) == "not-signed-in"
    [row] = done(meritgrid("account", "api-key", "list", *owner)).document["items"]
    assert row["revoked_at"] == room.world.now_s


def test_each_run_makes_a_key_of_its_own(room: Room, meritgrid: Run) -> None:
    same = (*NEW, "--scope", "read", "--scope", "bids", *at(room, "owner-0"))
    first, second = (done(meritgrid(*same)).document for _ in range(2))
    assert set(first["scopes"]) == set(second["scopes"]) == {"read", "bids"}
    assert first["key"] != second["key"]


def test_a_key_ends_when_it_was_said_to(room: Room, meritgrid: Run) -> None:
    until = room.world.now_s + U
    made = done(meritgrid(*NEW, "--scope", "read", "--until", until, *at(room, "owner-0"))).document
    room.world.at(until + 1)
    assert code_of(room, made["key"], f"/v1/nanogrids/{nanogrid(0)}") == "not-signed-in"


@pytest.mark.parametrize("wrong", [("--scope", "everything"), ("--scope", "read", "--nanogrid", str(nanogrid(1)))])
def test_an_unknown_scope_and_anothers_nanogrid_get_no_key(room: Room, meritgrid: Run, wrong: tuple[str, ...]) -> None:
    assert meritgrid(*NEW, *wrong, *at(room, "owner-0")).code == 2
    assert done(meritgrid("account", "api-key", "list", *at(room, "owner-0"))).document["items"] == []


def test_people_see_the_key_and_that_it_is_shown_once(room: Room, meritgrid: Run) -> None:
    told = done(meritgrid(*NEW, "--scope", "read", *at(room, "owner-0")[:-1]))
    assert told.out.startswith("mg_")
    assert "not shown again" in told.out
