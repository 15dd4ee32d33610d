"""What is overdue shows while it is, with how long, and no longer: what the alerts of scripts/production look at."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from market import checkpoints
from market.api.app import create_app
from market.chain.sender import TransactionSender
from market.checkpoints import SenderPoint
from market.domain.messages import Command, Hold
from market.domain.products import Direction, Phase, Product
from market.domain.records import BidRecord
from market.domain.states import OfferStatus
from market.domain.trees import award_range
from market.domain.typed_data import Domain
from market.services import rounds
from market.services.backlog import Backlog, Metering, Waiting, backlog_of, last_settled_interval
from market.store.database import open_engine, read_scope
from market.store.projections import Offer
from oracle.ingest import Ingest
from oracle.messages import ReadingBatch
from tests.chain.world import KEYS, NO_REASON, NODE, U, World, before, nanogrid
from tests.cli.conftest import Room
from tests.conftest import TEST_EPOCH
from tests.oracle.conftest import Meter

T = TEST_EPOCH + 8 * U
DEADLINE = T + 4 * U
"""After which an award of T without reading can be ended, in tests.chain.world.PARAMETERS."""
IDLE = Waiting()


def backlog(room: Room) -> Backlog:
    room.market.index()
    with room.market.reading() as session:
        return backlog_of(session, room.market.calendar, room.market.now_s(), room.market.relayer.address)


def gauges(room: Room) -> dict[tuple[str, str], float]:
    """(name, value of its label) → figure, as the market's own address gives them."""
    page = httpx.get(f"{room.url}/metrics", timeout=10).text
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return {(sample.name, next(iter(sample.labels.values()), "")): sample.value for sample in samples}


def final_awards(room: Room) -> tuple[bytes, bytes]:
    """An offer for T with two awards, final: (offer, packed awards)."""
    world = room.world
    offer = world.open_offer(T)
    world.at(before(T, 145))
    world.post(offer, [world.wire(offer, BidRecord(100_000, 900, 0, index)) for index in (0, 1)])
    world.at(before(T, 120))
    awards = world.clear(offer)
    world.at(before(T, 93))
    world.finalise(offer, awards)
    world.indexer.index_now()
    return offer, awards


def test_a_market_that_has_done_everything_has_no_backlog(room: Room) -> None:
    found = backlog(room)
    assert set(found.offers.values()) | set(found.escrows.values()) | set(found.transactions.values()) == {IDLE}
    assert found.transactions.keys() == {room.market.relayer.address}


def test_an_auction_is_overdue_after_its_own_moment_to_clear_until_it_is_cleared(room: Room) -> None:
    room.world.open_offer(T)
    room.world.at(before(T, 120))
    assert backlog(room).offers["clear"] == IDLE
    room.world.at(before(T, 120) + 30)
    assert backlog(room).offers == {"clear": Waiting(1, 30), "finalise": IDLE}
    rounds.run_due(room.market)
    room.world.at(before(T, 93) + 7)
    assert backlog(room).offers == {"clear": IDLE, "finalise": Waiting(1, 7)}
    rounds.run_due(room.market)
    assert backlog(room).offers == {"clear": IDLE, "finalise": IDLE}


def test_nobody_is_called_for_an_auction_that_red_has_frozen(room: Room) -> None:
    room.world.open_offer(T)
    room.world.at(before(T, 130))
    room.world.signal(T, Phase.RED, 2)
    room.world.at(before(T, 100))
    assert backlog(room).offers["clear"] == IDLE


def test_escrows_of_intervals_that_have_begun_are_overdue_until_they_are_given_back(room: Room) -> None:
    offer = room.world.open_offer(T, 1500)
    room.world.at(T)
    assert backlog(room).escrows["offer"] == IDLE
    room.world.at(T + 40)
    assert backlog(room).escrows["offer"] == Waiting(1, 40)
    rounds.run_due(room.market)
    with room.market.reading() as session:
        assert session.get_one(Offer, "0x" + offer.hex()).status == OfferStatus.EXPIRED
    assert backlog(room).escrows == dict.fromkeys(("request", "offer", "award", "command", "hold"), IDLE)


def test_what_no_offer_has_taken_of_a_request_is_overdue_until_it_is_reclaimed(room: Room) -> None:
    world = room.world
    world.at(before(T, 300))
    world.signal(T, Phase.YELLOW, 1)
    world.request(T, [2000])
    world.at(T + 60)
    assert backlog(room).escrows["request"] == Waiting(1, 60)
    rounds.run_due(room.market)
    assert backlog(room).escrows["request"] == IDLE


def test_awards_without_a_reading_are_overdue_after_the_deadline_unless_they_are_held(room: Room) -> None:
    offer, awards = final_awards(room)
    world = room.world
    world.at(T + U)
    message = Hold(offer, 0, NO_REASON)
    given = award_range(awards, 0, 0).argument()
    place = world.contracts.settlement.functions.placeHold
    world.send("relayer", place(message.arguments(), given, world.sign(KEYS["dso"], message)))
    world.at(DEADLINE)
    assert backlog(room).escrows["award"] == IDLE
    world.at(DEADLINE + 25)
    found = backlog(room).escrows
    assert found["award"] == Waiting(1, 25), "the other one is on hold"
    assert found["hold"] == Waiting(1, DEADLINE + 25 - (T + U + 3 * U)), "its term is three intervals"
    whole = award_range(awards, 1, 1).argument()
    world.send("oracle", world.contracts.settlement.functions.expireAwards(offer, whole))
    world.send("stranger", world.contracts.settlement.functions.lapseHold(offer, 0))
    assert backlog(room).escrows["hold"] == IDLE


def test_a_red_command_without_a_reading_is_overdue_after_the_deadline(room: Room) -> None:
    world = room.world
    world.at(before(T, 96))
    world.signal(T, Phase.RED, 1)
    message = Command(nanogrid(0), T, Product.VC_EMERGENCY_P, Direction.DOWN, 2500, NO_REASON)
    world.decide(world.contracts.signals.functions.giveCommand, message, "dso")
    world.at(DEADLINE + 5)
    assert backlog(room).escrows["command"] == Waiting(1, 5)
    world.send("oracle", world.contracts.settlement.functions.expireCommand(nanogrid(0), T))
    assert backlog(room).escrows["command"] == IDLE


def test_readings_are_counted_for_the_last_interval_that_was_settled(room: Room) -> None:
    world = room.world
    settlement = Domain(room.market.chain_id, room.market.addresses["Settlement"])
    world.at(T + 4 * U // 3)
    assert last_settled_interval(room.market.calendar, room.market.now_s()) == T
    assert backlog(room).metering == {NODE: Metering(gateways=4, readings=0)}
    ingest = Ingest(world.engine, settlement, KEYS["oracle"], room.market.calendar, world.now)
    for index in (0, 2):
        meter = Meter(index, settlement)
        ingest.take(meter.topic, ReadingBatch(readings=(meter.read(T),)).payload())
    assert backlog(room).metering == {NODE: Metering(gateways=4, readings=2)}
    world.at(T + U + 4 * U // 3)
    assert backlog(room).metering == {NODE: Metering(gateways=4, readings=0)}, "the next interval has none yet"


class _Killed(Exception):
    pass


def test_a_transaction_that_was_stored_and_never_sent_is_pending_by_its_sender(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = room.world

    def die(point: StrEnum, about: str) -> None:
        if (point, about) == (SenderPoint.STORED, "approve"):
            raise _Killed

    sender = TransactionSender(world.contracts, world.engine, KEYS["stranger"], now=world.now)
    approve = world.contracts.token.functions.approve(world.contracts.settlement.address, 1)
    with monkeypatch.context() as followed:
        followed.setattr(checkpoints, "_followers", [die])
        with pytest.raises(_Killed):
            sender.send(approve, "approve", "approve-once")
    world.at(world.now_s + 300)
    assert backlog(room).transactions == {room.market.relayer.address: IDLE, sender.address: Waiting(1, 300)}
    assert gauges(room)["meritgrid_transactions_pending_seconds", sender.address] == 300
    TransactionSender(world.contracts, world.engine, KEYS["stranger"], now=world.now).recover()
    assert backlog(room).transactions == {room.market.relayer.address: IDLE}


def test_the_gauges_bear_the_clock_by_which_the_market_acts_and_the_block_that_it_knows(room: Room) -> None:
    room.world.at(T + 77)
    room.world.send(
        "operator", room.world.contracts.token.functions.approve(room.world.contracts.settlement.address, 1)
    )
    room.market.index()
    found = gauges(room)
    assert found["meritgrid_clock_seconds", ""] == T + 77
    assert found["meritgrid_indexed_block_time_seconds", ""] == pytest.approx(T + 77, abs=2)
    assert found["meritgrid_node_gateways", str(NODE)] == 4
    assert found["meritgrid_database_up", ""] == 1


async def test_without_its_database_the_market_says_so_and_still_shows_its_own_metrics(
    room: Room, tmp_path: Path
) -> None:
    nowhere = open_engine(f"sqlite:///{tmp_path / 'no-tables.sqlite'}")
    market = replace(room.market, reading=partial(read_scope, nowhere))
    transport: Any = httpx.ASGITransport(create_app(market))
    async with httpx.AsyncClient(transport=transport, base_url=room.url) as client:
        page = (await client.get("/metrics")).text
    nowhere.dispose()
    assert "meritgrid_database_up 0.0" in page
    assert "meritgrid_indexed_block " in page
    assert "meritgrid_offers_overdue{" not in page


def test_scraping_often_costs_no_more_than_scraping_now_and_then(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[World] = []

    def counted(*arguments: Any) -> Backlog:
        looked.append(room.world)
        return backlog_of(*arguments)

    monkeypatch.setattr("market.api.gauges.backlog_of", counted)
    for _ in range(5):
        gauges(room)
    assert len(looked) == 1
