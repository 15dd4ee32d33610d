"""Who sees what: prosumers their own, aggregators their portfolios, DSOs their nodes, auditors all, others nothing."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from market.desks.market_client import MarketClient, MarketProblem
from market.domain.hashing import keccak256
from market.domain.signing import address_of
from market.domain.states import DispatchState
from market.store.facts import Acknowledgement
from market.store.work import Dispatch
from tests.api.conftest import Caller
from tests.chain.world import NODE, U, gateway_key, nanogrid, owner_key
from tests.cli.conftest import Room, Run, meritgrid
from tests.cli.test_money import settled_award
from tests.conftest import TEST_EPOCH

__all__ = ["meritgrid"]

T = TEST_EPOCH + 8 * U
SEEN, HIDDEN = 200, 403


def status(client: MarketClient, path: str) -> int:
    route, _, query = path.partition("?")
    try:
        client.get(route, **dict(parse_qsl(query)))
    except MarketProblem as problem:
        return problem.status
    return 200


def make_auditor(room: Room) -> None:
    grant = room.world.contracts.registry.functions.grantRole(keccak256(b"AUDITOR"), room.world.address("referee"))
    room.world.send("operator", grant)
    room.market.index()


@pytest.mark.parametrize(
    ("path", "seen_by", "hidden_from"),
    [
        (
            f"/v1/nanogrids/{nanogrid(0)}",
            ["owner-0", "aggregator", "dso", "operator", "auditor"],
            ["owner-1", "oracle"],
        ),
        (f"/v1/nanogrids/{nanogrid(0)}/readings", ["owner-0", "dso", "auditor"], ["owner-1", "aggregator"]),
        (f"/v1/nodes/{NODE}/readings?interval={T}", ["dso", "auditor"], ["owner-0", "aggregator", "operator"]),
        (f"/v1/nodes/{NODE}/nanogrids", ["dso", "auditor"], ["owner-0", "aggregator"]),
        (f"/v1/nodes/{NODE}/baselines?interval={T}", ["dso", "aggregator", "auditor", "oracle"], ["owner-0"]),
        (f"/v1/dispatches?node={NODE}", ["dso", "aggregator", "owner-0", "auditor"], ["oracle", "stranger"]),
        (f"/v1/commands?node={NODE}", ["dso", "aggregator", "owner-0", "auditor"], ["stranger"]),
        (f"/v1/nodes/{NODE}/signals?first={T}&last={T}", ["", "stranger"], []),
        ("/v1/requests", ["", "stranger"], []),
        ("/v1/offers", ["", "stranger"], []),
    ],
)
def test_a_route_answers_those_whom_it_concerns(
    room: Room, caller: Caller, path: str, seen_by: list[str], hidden_from: list[str]
) -> None:
    make_auditor(room)
    names = {"auditor": "referee"}
    assert {name: status(caller(names.get(name, name)), path) for name in seen_by} == dict.fromkeys(seen_by, SEEN)
    assert {name: status(caller(name), path) for name in hidden_from} == dict.fromkeys(hidden_from, HIDDEN)


def test_nobody_sees_what_is_not_public(room: Room, caller: Caller) -> None:
    nobody = caller("")
    account = room.world.address("dso")
    for path in ("/v1/nanogrids", f"/v1/accounts/{account}", "/v1/settlements", "/v1/holds", "/v1/api-keys"):
        assert status(nobody, path) == 401


def test_lists_hold_only_what_concerns_the_caller(room: Room, caller: Caller) -> None:
    def listed(name: str) -> list[int]:
        return [row["nanogrid"] for row in caller(name).items("/v1/nanogrids", limit=3)]

    everything = [nanogrid(index) for index in range(4)]
    assert listed("owner-2") == [nanogrid(2)]
    assert listed("aggregator") == listed("dso") == listed("operator") == everything
    assert listed("stranger") == []


def test_an_account_is_its_holders_and_the_auditors(room: Room, caller: Caller) -> None:
    make_auditor(room)
    path = f"/v1/accounts/{room.world.address('dso')}"
    for route in (path, path + "/statement"):
        assert [status(caller(name), route) for name in ("dso", "referee", "operator")] == [200, 200, 200]
        assert [status(caller(name), route) for name in ("aggregator", "owner-0", "stranger")] == [403, 403, 403]


def test_a_new_owner_sees_nothing_from_before_it_was_the_owner(room: Room, caller: Caller) -> None:
    account = address_of(owner_key(0))
    lines_before = caller("owner-0").get(f"/v1/accounts/{account}/statement")["items"]
    assert [line["kind"] for line in lines_before] == ["BOND_FUNDED"]
    room.world.at(T)
    room.world.give_nanogrid(0, owner_key(0), address_of(owner_key(1)))
    room.market.index()
    buyer = caller("owner-1").get(f"/v1/accounts/{address_of(owner_key(1))}/statement")["items"]
    assert {line["nanogrid"] for line in buyer} == {nanogrid(1)}
    assert status(caller("owner-0"), f"/v1/nanogrids/{nanogrid(0)}") == HIDDEN


def test_a_key_for_one_nanogrid_reaches_no_other_and_no_money(room: Room, caller: Caller) -> None:
    room.world.give_nanogrid(1, owner_key(1), address_of(owner_key(0)))
    room.market.index()
    made = caller("owner-0").post(
        "/v1/api-keys", {"label": "gateway", "scopes": ["read", "bids"], "nanogrid": nanogrid(0)}
    )
    with MarketClient(room.url, api_key=made["key"]) as key:
        assert [row["nanogrid"] for row in key.items("/v1/nanogrids")] == [nanogrid(0)]
        assert status(key, f"/v1/nanogrids/{nanogrid(1)}") == HIDDEN
        assert status(key, f"/v1/accounts/{address_of(owner_key(0))}") == HIDDEN
        with pytest.raises(MarketProblem) as refused:
            key.post(f"/v1/nanogrids/{nanogrid(0)}/payout", {})
        assert refused.value.status == 403


def test_a_gateway_reads_its_own_nanogrid_until_it_is_replaced(room: Room) -> None:
    from market.services.access import Scope, new_api_key

    gateway = address_of(gateway_key(0))
    with room.market.sessions() as session:
        _, text = new_api_key(session, gateway, "GATEWAY", [Scope.READ, Scope.BIDS], room.market.now_s(), nanogrid(0))
    with MarketClient(room.url, api_key=text) as key:
        assert status(key, f"/v1/nanogrids/{nanogrid(0)}/readings") == SEEN
        replace = room.world.contracts.settlement.functions.setGateway(nanogrid(0), address_of(gateway_key(77)))
        room.world.send("operator", replace)
        room.market.index()
        assert status(key, f"/v1/nanogrids/{nanogrid(0)}/readings") == 401, "its key is worth nothing any more"


def test_a_dispatch_shows_the_gateways_signed_answers(room: Room, caller: Caller) -> None:
    gateway = address_of(gateway_key(0))
    with room.market.sessions() as session:
        session.add(
            Dispatch(
                id="0x" + "cd" * 32, kind="AWARD", nanogrid=nanogrid(0), gateway=gateway, interval=T, product=0,
                direction=1, quantity=100, baseline=500, change=-100, target_w=1600, target_var=0, lease_end=T + 960,
                signature=bytes(64), state="STARTED", reason=None, offer=None, ordinal=None, decision=None,
                created_at=T, published_at=T, answered_at=T, started_at=T, ended_at=None,
            )
        )  # fmt: skip
        for state in (DispatchState.ACCEPTED, DispatchState.STARTED):
            session.add(
                Acknowledgement(
                    dispatch="0x" + "cd" * 32, gateway=gateway, nanogrid=nanogrid(0), state=int(state), at=T,
                    reason=None, signature=b"\x01" * 64, received_at=T,
                )
            )  # fmt: skip
    [dispatch] = caller("dso").items("/v1/dispatches", node=7)
    assert [answer["state"] for answer in dispatch["answers"]] == ["ACCEPTED", "STARTED"]
    assert dispatch["answers"][0]["gateway"] == gateway

    room.world.at(T + U)
    room.world.give_nanogrid(0, owner_key(0), address_of(owner_key(1)))
    room.market.index()
    assert list(caller("owner-1").items("/v1/dispatches", node=7)) == [], "it was another's nanogrid then"
    assert len(list(caller("dso").items("/v1/dispatches", node=7))) == 1


def test_a_new_owner_sees_no_award_of_the_former_one_and_a_limited_key_no_position(
    room: Room, caller: Caller, meritgrid: Run
) -> None:
    offer = settled_award(room, meritgrid)
    aggregator = caller("aggregator")
    assert len(list(caller("owner-1").items(f"/v1/offers/{offer}/awards"))) == 1
    room.world.give_nanogrid(1, owner_key(1), address_of(owner_key(2)))
    room.world.give_nanogrid(3, owner_key(3), aggregator.address)
    room.market.index()
    assert list(caller("owner-2").items(f"/v1/offers/{offer}/awards")) == []
    assert len(list(aggregator.items(f"/v1/offers/{offer}/awards"))) == 2

    wish = {"label": "home", "scopes": ["read"], "nanogrid": nanogrid(3)}
    with MarketClient(room.url, api_key=aggregator.post("/v1/api-keys", wish)["key"]) as key:
        assert status(key, f"/v1/offers/{offer}/position") == HIDDEN
    assert status(aggregator, f"/v1/offers/{offer}/position") == SEEN
