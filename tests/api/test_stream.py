"""Who hears what on the stream: the chain for everybody, notices for those who may read what they tell of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from market.api import stream as stream_route
from market.api.app import create_app
from market.domain.messages import Bid
from market.domain.signing import address_of, sign_message
from market.domain.states import DispatchState
from market.services import bids, notices, rounds
from market.services.access import Principal, Scope
from market.services.stream import Wanted, head, look
from market.store.facts import Reading
from market.store.work import Dispatch, Notice
from tests.api.conftest import Caller
from tests.api.test_sight import make_auditor
from tests.chain.world import NODE, U, before, gateway_key, nanogrid, owner_key
from tests.cli.conftest import Room
from tests.conftest import TEST_EPOCH

T = TEST_EPOCH + 8 * U
ACTORS = ("owner-0", "owner-1", "gateway-0", "gateway-1", "delegate", "aggregator", "dso", "auditor", "operator",
          "oracle", "stranger")  # fmt: skip

Heard = Callable[..., dict[str, list[str]]]


def principal(room: Room, name: str) -> Principal | None:
    """An actor as it calls; a gateway calls with the key of its nanogrid."""
    kind, _, index = name.partition("-")
    if name == "nobody":
        return None
    if kind == "gateway":
        scopes = frozenset({Scope.READ, Scope.BIDS})
        return Principal(address_of(gateway_key(int(index))), scopes, nanogrid(int(index)))
    if kind == "owner":
        return Principal(address_of(owner_key(int(index))))
    if name == "delegate":
        return Principal(address_of(owner_key(50)))
    return Principal(room.world.address({"auditor": "referee"}.get(name, name)))


@pytest.fixture
def heard(room: Room) -> Heard:
    """What each actor that hears anything hears of a topic, from the start of the test on, as "topic event"."""
    make_auditor(room)
    with room.market.reading() as session:
        start = head(session)

    def hear(topic: str, *actors: str, **places: Any) -> dict[str, list[str]]:
        room.market.index()
        told = {}
        with room.market.reading() as session:
            for name in actors or ("nobody", *ACTORS):
                _, found = look(session, start, Wanted([topic], **places), principal(room, name))
                told[name] = [what["event"] for _, _, what in found]
        return {name: events for name, events in told.items() if events}

    return hear


def dispatch(room: Room, index: int = 0) -> Dispatch:
    row = Dispatch(
        id="0x" + f"{index:064x}", kind="AWARD", nanogrid=nanogrid(index), gateway=address_of(gateway_key(index)),
        interval=T, product=0, direction=1, quantity=100, baseline=500, change=-100, target_w=1600, target_var=0,
        lease_end=T + 960, signature=bytes(64), state="NEW", reason=None, offer=None, ordinal=None, decision=None,
        created_at=T, published_at=None, answered_at=None, started_at=None, ended_at=None,
    )  # fmt: skip
    with room.market.sessions() as session:
        notices.note_dispatch(session, row, "NEW", room.world.now_s)
        session.add(row)
    return row


def reading(room: Room, index: int = 0) -> None:
    row = Reading(
        nanogrid=nanogrid(index), interval=T, sequence=1, gateway=address_of(gateway_key(index)), active_energy_wh=1,
        reactive_energy_varh=0, payload=b"", signature=b"", digest="0x" + "00" * 32, previous_hash="0x" + "00" * 32,
        salt=bytes(32), quality="MEASURED", received_at=T,
    )  # fmt: skip
    with room.market.sessions() as session:
        notices.note_reading(session, row, room.world.now_s)
        session.add(row)


def offer_with_bid(room: Room) -> str:
    """An open offer on which the market has received a bid of nanogrid 0."""
    world = room.world
    offer = world.open_offer(T)
    room.market.index()
    bid = Bid(offer, 0, 100_000, 500, 0, 0)
    fields: dict[str, Any] = {"index": 0, "price_ueur_kwh": 100_000, "quantity": 500, "minimum": 0, "revision": 0}
    fields["signature"] = sign_message(owner_key(0), bid, room.market.domain(bid)).hex()
    for _ in range(2):  # sent again, it is the same bid
        [result] = bids.receive(room.market, Principal("0x0"), "0x" + offer.hex(), [fields])
        assert result.refusal is None, result.refusal
    return "0x" + offer.hex()


# WHO HEARS WHAT


@pytest.mark.parametrize("place", ["99999999999999999999.0.0", "1.2", "-1.0.0", "a.b.c"])
def test_a_place_that_is_none_in_the_stream_is_refused(http: httpx.Client, place: str) -> None:
    answer = http.get("/v1/stream", headers={"Last-Event-ID": place})
    assert (answer.status_code, answer.json()["type"].rsplit("/", 1)[1]) == (422, "validation-failed")


def test_a_dispatch_is_heard_by_those_whom_its_nanogrid_concerns(room: Room, heard: Heard) -> None:
    dispatch(room)
    concerned = ("owner-0", "gateway-0", "aggregator", "dso", "auditor", "operator")
    assert heard("dispatches") == {name: ["NEW"] for name in concerned}


def test_a_reading_is_heard_by_those_who_may_see_it(room: Room, heard: Heard) -> None:
    reading(room)
    assert heard("readings") == {name: ["RECEIVED"] for name in ("owner-0", "gateway-0", "dso", "auditor")}


def test_a_received_bid_is_heard_by_its_bidder_only_until_it_is_posted_for_all(room: Room, heard: Heard) -> None:
    offer = offer_with_bid(room)
    assert heard("bids") == {"owner-0": ["RECEIVED"], "gateway-0": ["RECEIVED"]}
    room.world.at(before(T, 145))
    rounds.run_due(room.market)
    everybody = heard("bids", offer=offer)
    assert everybody["nobody"] == everybody["owner-1"] == everybody["dso"] == ["BidsPosted"]
    assert everybody["owner-0"] == ["BidsPosted", "RECEIVED"]


def test_a_bids_signer_hears_of_it_and_no_other_delegate(room: Room, heard: Heard) -> None:
    offer_with_bid(room)
    with room.market.sessions() as session:
        session.scalars(select(Notice)).one().account = address_of(owner_key(50))
    assert "delegate" in heard("bids")
    assert "owner-1" not in heard("bids")


def test_a_late_bid_is_told_to_its_bidder(room: Room, heard: Heard) -> None:
    offer_with_bid(room)
    room.world.at(before(T, 119))
    rounds.run_due(room.market)
    assert heard("bids") == {name: ["RECEIVED", "LATE"] for name in ("owner-0", "gateway-0")}


def test_a_new_owner_hears_nothing_from_before_it_was_the_owner(room: Room, heard: Heard) -> None:
    reading(room)
    room.world.at(TEST_EPOCH + U)
    room.world.give_nanogrid(0, owner_key(0), address_of(owner_key(1)))
    assert heard("readings", "owner-0", "owner-1") == {}
    room.world.at(TEST_EPOCH + 2 * U)
    dispatch(room)
    assert heard("dispatches", "owner-0", "owner-1") == {"owner-1": ["NEW"]}


# WHERE IT HAPPENED


def test_events_are_told_of_the_place_that_was_asked_for(room: Room, heard: Heard) -> None:
    dispatch(room, 0)
    dispatch(room, 1)
    assert heard("dispatches", "dso")["dso"] == ["NEW", "NEW"]
    assert heard("dispatches", "dso", nanogrid=nanogrid(1))["dso"] == ["NEW"]
    assert heard("dispatches", "dso", node=NODE)["dso"] == ["NEW", "NEW"]
    assert heard("dispatches", "dso", node=NODE + 1) == {}


def test_the_chains_events_are_told_of_the_place_that_was_asked_for(room: Room, heard: Heard) -> None:
    offer, another = offer_with_bid(room), "0x" + "ab" * 32
    opened = {"nobody": ["OfferOpened"]}
    for places, told in (
        ({}, opened),
        ({"offer": offer}, opened),
        ({"offer": another}, {}),
        ({"node": NODE}, opened),
        ({"node": NODE + 1}, {}),
        ({"nanogrid": nanogrid(3)}, opened),
        ({"nanogrid": 99 << 16}, {}),
    ):
        assert heard("offers", "nobody", **places) == told, places
    assert heard("signals", "nobody", node=NODE) == {"nobody": ["SignalSet"]}
    assert heard("signals", "nobody", node=NODE + 1) == {}
    assert heard("requests", "nobody", node=NODE) == {"nobody": ["RequestPublished"]}


def test_an_event_names_its_place(room: Room, heard: Heard) -> None:
    offer = offer_with_bid(room)
    with room.market.reading() as session:
        start = look(session, head(session), Wanted([]), None)[0]
        assert start == head(session)
        _, [(_, topic, what)] = look(session, type(start)(0, 0, 0), Wanted(["offers"]), None)
    assert (topic, what["offer"], what["node"]) == ("offers", offer, NODE)


# GOING ON


def test_what_others_hear_is_passed_over_once(room: Room, heard: Heard) -> None:
    """Else each look of a listener would read all that it may not hear again."""
    with room.market.reading() as session:
        start = head(session)
    reading(room)
    with room.market.reading() as session:
        cursor, found = look(session, start, Wanted(["readings"]), principal(room, "owner-1"))
        assert (found, cursor) == ([], head(session))


def test_more_than_fits_one_look_is_told_in_the_next(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("market.services.stream._AT_ONCE", 2)
    with room.market.reading() as session:
        cursor = head(session)
    for index in (0, 1, 2):
        dispatch(room, index)
    told = []
    for _ in range(3):
        with room.market.reading() as session:
            cursor, found = look(session, cursor, Wanted(["dispatches"]), principal(room, "dso"))
        told.append([what["nanogrid"] for _, _, what in found])
    assert told == [[nanogrid(0), nanogrid(1)], [nanogrid(2)], []]


def test_old_notices_are_forgotten_but_no_id_is_given_again(room: Room) -> None:
    for index in (0, 1):
        reading(room, index)
    room.world.at(TEST_EPOCH + 3 * 86_400)
    rounds.run_due(room.market)
    with room.market.reading() as session:
        assert session.scalars(select(Notice.nanogrid)).all() == [nanogrid(1)]
    with room.market.reading() as session:
        last = head(session)
    reading(room, 2)
    with room.market.reading() as session:
        assert head(session) > last


# OVER HTTP


def first_data(events: httpx.Response) -> str:
    return next(line for line in events.iter_lines() if line.startswith("data:"))


def test_the_stream_tells_a_signed_in_caller_of_its_own(room: Room, http: httpx.Client, caller: Caller) -> None:
    owner = caller("owner-0")
    owner.sign_in()
    headers = {"Authorization": f"Bearer {owner.token}"}
    query = f"/v1/stream?topics=dispatches,readings&nanogrid={nanogrid(0)}"
    with http.stream("GET", query, headers=headers, timeout=20) as events:
        reading(room, 1)
        dispatch(room)
        data = first_data(events)
    assert f'"event":"{DispatchState.NEW.name}"' in data
    assert f'"nanogrid":{nanogrid(0)}' in data


def test_the_stream_of_a_revoked_key_ends(
    room: Room, http: httpx.Client, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_route, "_CALLER_EVERY_S", 0.1)
    owner = caller("owner-0")
    made = owner.post("/v1/api-keys", {"label": "x", "scopes": ["read"]})
    headers = {"Authorization": f"Bearer {made['key']}"}
    with http.stream("GET", "/v1/stream?topics=readings", headers=headers, timeout=20) as events:
        owner.delete(f"/v1/api-keys/{made['id']}")
        assert not [line for line in events.iter_lines() if line.startswith("data:")], "and the stream is over"


def test_a_key_that_may_not_read_hears_nothing(http: httpx.Client, caller: Caller) -> None:
    made = caller("owner-0").post("/v1/api-keys", {"label": "x", "scopes": ["bids"]})
    refused = http.get("/v1/stream?topics=bids", headers={"Authorization": f"Bearer {made['key']}"})
    assert refused.status_code == 403


async def test_a_stream_whose_database_goes_away_ends_and_does_not_break(room: Room) -> None:
    """Its listener comes again with its last id; an exception in its midst was a fault of the market's in the log."""
    asked = 0

    def once() -> Any:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise OperationalError("SELECT", {}, ConnectionError("connection failed"))
        return room.market.reading()

    transport = httpx.ASGITransport(create_app(replace(room.market, reading=once)))
    async with httpx.AsyncClient(transport=transport, base_url=room.url) as http:
        answer = await http.get("/v1/stream")
    assert (answer.status_code, asked) == (200, 2)
