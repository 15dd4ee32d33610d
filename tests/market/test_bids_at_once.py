"""Bids that several processes receive at the same moment: each has one receipt, and each revision one bid."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from sqlalchemy import select

from market.domain.messages import Bid
from market.domain.signing import sign_message
from market.services import bids
from market.services.access import Principal
from market.store.facts import BidReceived
from tests.chain.world import U, owner_key
from tests.cli.conftest import Room
from tests.conftest import TEST_EPOCH

T = TEST_EPOCH + 8 * U
AT_ONCE = 6


def offer_of(room: Room) -> str:
    offer = room.world.open_offer(T)
    room.market.index()
    return "0x" + offer.hex()


def signed(room: Room, offer: str, price_ueur_kwh: int) -> dict[str, Any]:
    bid = Bid(bytes.fromhex(offer[2:]), 0, price_ueur_kwh, 500, 0, 0)
    signature = sign_message(owner_key(0), bid, room.market.domain(bid)).hex()
    return {
        "index": 0, "price_ueur_kwh": price_ueur_kwh, "quantity": 500, "minimum": 0, "revision": 0,
        "signature": signature,
    }  # fmt: skip


def received_at_once(room: Room, offer: str, documents: list[dict[str, Any]]) -> list[bids.BidResult]:
    start = Barrier(len(documents))

    def receive(document: dict[str, Any]) -> bids.BidResult:
        start.wait()
        [result] = bids.receive(room.market, Principal("0x0"), offer, [document])
        return result

    with ThreadPoolExecutor(len(documents)) as pool:
        return list(pool.map(receive, documents))


def stored(room: Room) -> list[str]:
    with room.market.reading() as session:
        return list(session.scalars(select(BidReceived.digest)))


def test_different_bids_of_one_revision_give_one_receipt(room: Room) -> None:
    offer = offer_of(room)
    results = received_at_once(room, offer, [signed(room, offer, 100_000 + place) for place in range(AT_ONCE)])
    accepted = [result for result in results if result.receipt is not None]
    assert [result.digest for result in accepted] == stored(room)
    assert len(accepted) == 1
    assert {result.refusal.code for result in results if result.refusal} == {"wrong-revision"}


def test_the_same_bid_sent_at_once_gives_the_same_receipt(room: Room) -> None:
    offer = offer_of(room)
    results = received_at_once(room, offer, [signed(room, offer, 100_000)] * AT_ONCE)
    assert len(stored(room)) == 1
    assert all(result.receipt == results[0].receipt is not None for result in results)
