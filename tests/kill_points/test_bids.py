"""A market or an agent killed anywhere between a bid's signature and its place on the chain: each bid is there once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from gateway_agent.buffer import Buffer
from gateway_agent.checkpoints import BidderPoint
from gateway_agent.configuration import BUFFER_FILE
from gateway_agent.identity import write_secret
from market.chain.embedded import start_anvil
from market.checkpoints import BidPoint, SenderPoint
from market.desks.market_client import MarketClient
from market.domain.messages import Bid, BidReceipt
from market.domain.signing import recover_message, sign_message
from market.store.database import read_scope
from market.store.facts import BidReceived
from market.store.work import Notice
from scripts.demo.supervisor import free_port
from tests.chain.world import U, World, before, owner_key
from tests.conftest import TEST_EPOCH
from tests.gateway_agent.world import Broker, Installed
from tests.kill_points.conftest import EndOf
from tests.kill_points.killing import Kill
from tests.kill_points.stage import Stage, stage_over

pytestmark = pytest.mark.processes

T = TEST_EPOCH + 8 * U
CLEARED = before(T, 115)
"""Before the agent's first reading, which no oracle would receipt here."""
BIDDING = """
[bidding]
key_file = "owner.key"
signer = "owner"
markup_permille = 500
reserve_soc_permille = 0
price_floor_ueur_kwh = { battery = 80000, pv = 60000 }
"""
BY_HAND = (1, 2)
"""Nanogrids whose owners bid by themselves; nanogrid 0 has an agent."""

KILLS = [
    *(("market", Kill(BidPoint.WRITTEN, nth)) for nth in (1, 3)),
    *(("market", Kill(BidPoint.RECEIVED, nth)) for nth in (1, 3)),
    *(("market", Kill(BidPoint.REMEMBERED, nth, "/bids")) for nth in (1, 3)),
    *(("market", Kill(BidPoint.POSTED, nth)) for nth in (1, 2, 3)),
    ("market", Kill(BidPoint.RECORDED)),
    ("market", Kill(SenderPoint.STORED, 2)),
    ("market", Kill(SenderPoint.SENT, 2)),
    ("agent", Kill(BidderPoint.SIGNED)),
    ("agent", Kill(BidderPoint.ANSWERED)),
    ("agent", Kill(BidderPoint.KEPT)),
]


@dataclass(frozen=True)
class Essence:
    """What is left of an auction: bids as the market and the chain have them, the agent's own, and what was sent."""

    received: list[tuple[Any, ...]]
    posted: list[tuple[Any, ...]]
    own: list[tuple[Any, ...]]
    sent: Counter[tuple[str, str]]


@dataclass
class Auction:
    """An open offer, a market, an agent and two owners who bid by hand."""

    stage: Stage
    offer: str
    gateway: Installed

    async def bid_by_hand(self, index: int) -> None:
        """As any client does it: again and again until there is an answer, which is a receipt."""
        world = self.stage.world
        bid = Bid(bytes.fromhex(self.offer[2:]), index, 100_000 + index, 500, 0, 0)
        fields = {"index": index, "price_ueur_kwh": 100_000 + index, "quantity": 500, "minimum": 0, "revision": 0}
        signature = sign_message(owner_key(index), bid, world.contracts.domain_of(bid)).hex()
        with MarketClient(self.stage.url, private_key="0x" + owner_key(index).hex()) as client:
            body = {"bids": [fields | {"signature": signature}]}
            answer = await asyncio.to_thread(client.post, f"/v1/offers/{self.offer}/bids", body)
        [result] = answer["results"]
        receipt = result["receipt"]
        promise = BidReceipt(bid.digest(world.contracts.domain_of(bid)), bid.offer, receipt["received_at"])
        promised_by = recover_message(
            promise, world.contracts.domain_of(promise), bytes.fromhex(receipt["signature"][2:])
        )
        assert promised_by == world.address("relayer")

    async def start(self) -> None:
        await self.stage.start()

    async def play(self) -> Essence:
        await asyncio.gather(*(self.bid_by_hand(index) for index in BY_HAND))
        await self.stage.until(CLEARED)
        return self.essence()

    def refusals(self) -> list[tuple[Any, ...]]:
        """Signed refusals of bids, and how often their bidders were told."""
        with read_scope(self.stage.world.engine) as session:
            told = Counter(session.scalars(select(Notice.subject).where(Notice.event == "LATE")))
            rows = session.scalars(select(BidReceived).order_by(BidReceived.index))
            return [
                (row.digest, row.refused_at, row.refusal_signature, told[row.digest])
                for row in rows
                if row.refusal_signature
            ]

    def essence(self) -> Essence:
        world = self.stage.world
        with read_scope(world.engine) as session:
            received = [
                (row.index, row.price_ueur_kwh, row.quantity, row.digest, row.state, row.received_at)
                for row in session.scalars(select(BidReceived).order_by(BidReceived.index))
            ]
        events = world.contracts.auction.events.BidsPosted().get_logs(from_block=0)
        posted = [tuple(sorted(event["args"].items())) for event in events]
        buffer = Buffer(self.gateway.folder / BUFFER_FILE)
        try:
            own = [(bid.offer, bid.revision, bid.digest, bid.state) for bid in buffer.bids_from(0)]
        finally:
            buffer.close()
        return Essence(received, sorted(posted), own, self.stage.sent())


@asynccontextmanager
async def auction(folder: Path, broker: Broker) -> AsyncIterator[Auction]:
    """From T - 2.75u on; nothing runs yet."""
    folder.mkdir()
    with start_anvil(free_port(), timestamp=TEST_EPOCH) as chain:
        world = World.build(chain, f"sqlite:///{folder / 'market.sqlite'}")
        world.register()
        world.fund()
        offer = "0x" + world.open_offer(T).hex()
        world.indexer.index_now()
        async with stage_over(world, folder, [free_port(), broker.port]) as stage:
            gateway = stage.enrolled(0, BIDDING)
            write_secret(gateway.folder / "owner.key", owner_key(0).hex())
            stage.add("market", "market", "serve", constants={"market.services.bids:BATCH": 1})
            stage.add("agent", "gateway", "run", "--data", str(gateway.folder), "--name", "agent")
            yield Auction(stage, offer, gateway)
        world.engine.dispose()


@pytest.fixture(scope="module")
def undisturbed(broker: Broker, end_of: EndOf) -> Essence:
    return end_of(lambda folder: auction(folder, broker))


def test_an_auction_without_kills_is_what_it_is_to_be(undisturbed: Essence) -> None:
    assert [(index, state) for index, *_, state, _ in undisturbed.received] == [
        (0, "POSTED"),
        (1, "POSTED"),
        (2, "POSTED"),
    ]
    assert len(undisturbed.posted) == 3
    assert [state for *_, state in undisturbed.own] == ["ACCEPTED"]
    once = {("postBids", "MINED"): 3, ("clear", "MINED"): 1}
    assert {purpose: undisturbed.sent[purpose] for purpose in once} == once


@pytest.mark.parametrize(("victim", "kill"), KILLS, ids=str)
async def test_a_killed_auction_ends_as_if_nothing_had_happened(
    tmp_path: Path, broker: Broker, undisturbed: Essence, victim: str, kill: Kill
) -> None:
    async with auction(tmp_path / "auction", broker) as wild:
        program = wild.stage.programs[victim]
        await wild.stage.start(victim, kill)
        playing = asyncio.create_task(wild.play())
        await program.dies_at(kill)
        program.start()
        assert await playing == undisturbed


async def test_a_market_that_dies_over_late_bids_refuses_each_once(tmp_path: Path, broker: Broker) -> None:
    """It was away while the gate closed, and dies again when it has refused them."""
    async with auction(tmp_path / "auction", broker) as late:
        market, authority = late.stage.programs["market"], late.stage.authority
        await late.stage.start()
        sleeper = await late.stage.sleeper(T)
        await asyncio.gather(*(late.bid_by_hand(index) for index in BY_HAND))
        await late.stage.until(before(T, 200))
        for name, program in late.stage.programs.items():
            await asyncio.to_thread(program.stop)
            authority.away(name)
        await late.stage.until(before(T, 119))
        authority.wait_for("market")
        market.start(LATE)
        await market.dies_at(LATE)
        refused = late.refusals()
        assert len(refused) == 1 + len(BY_HAND)
        market.start()
        await late.stage.until(CLEARED)
        assert late.refusals() == refused
        assert {bid[4] for bid in late.essence().received} == {"LATE"}
        assert late.stage.sent()["postBids", "MINED"] == 0
        sleeper.close()


LATE = Kill(BidPoint.REFUSED)


def test_every_point_of_a_bid_has_its_case() -> None:
    assert {LATE.point} | {kill.point for _, kill in KILLS} >= set(BidPoint) | set(BidderPoint)
