"""A verdict's reasons are read by everybody; a rejected bid's own reason is told to its bidder."""

from __future__ import annotations

import httpx
import pytest

from market.desks.desk import Desk, document_hash
from market.domain.messages import Bid, Verdict
from market.domain.records import rejected_bitmap
from market.domain.signing import sign_message
from market.services import bids, rounds
from market.services.access import Principal
from tests.api.conftest import Caller
from tests.api.test_http import problem
from tests.chain.world import KEYS, U, before, owner_key
from tests.cli.conftest import Room
from tests.conftest import TEST_EPOCH

T = TEST_EPOCH + 8 * U
REASONS = {"0": "voltage at bus 9 would be 1.104 p.u."}


def receive(room: Room, offer: bytes, index: int, price_ueur_kwh: int) -> str:
    """The digest of a bid of 500 Wh that the market has received."""
    bid = Bid(offer, index, price_ueur_kwh, 500, 0, 0)
    fields = {"index": index, "price_ueur_kwh": price_ueur_kwh, "quantity": 500, "minimum": 0, "revision": 0}
    fields["signature"] = sign_message(owner_key(index), bid, room.market.domain(bid)).hex()  # type: ignore[assignment]
    [result] = bids.receive(room.market, Principal("0x0"), "0x" + offer.hex(), [fields])
    assert result.digest is not None, result.refusal
    return result.digest


@pytest.fixture
def cleared(room: Room) -> tuple[bytes, list[str]]:
    """A cleared offer on which nanogrid 0 and 1 both won, and their bids' digests in this order."""
    world = room.world
    offer = world.open_offer(T)
    room.market.index()
    digests = []
    for index in (0, 1):
        world.at(before(T, 250) + index)
        digests.append(receive(room, offer, index, 100_000 + index))
    for hundredths in (145, 120):
        world.at(before(T, hundredths))
        rounds.run_due(room.market)
    world.at(before(T, 110))
    return offer, digests


def reject_first(caller: Caller, offer: bytes) -> None:
    verdict = Verdict(offer, rejected_bitmap([0]), document_hash(REASONS))
    Desk(caller("dso"), KEYS["dso"]).decide(f"/v1/offers/0x{offer.hex()}/verdict", verdict, reasons=REASONS)


def test_everybody_reads_what_the_dso_rejected_and_why(
    room: Room, http: httpx.Client, caller: Caller, cleared: tuple[bytes, list[str]]
) -> None:
    offer, _ = cleared
    path = f"/v1/offers/0x{offer.hex()}/verdict"
    problem(http.get(path), 404, "unknown-verdict")
    problem(http.get(f"/v1/offers/0x{'00' * 32}/verdict"), 404, "unknown-offer")
    reject_first(caller, offer)
    verdict = http.get(path).json()
    assert (verdict["rejected"], verdict["reasons"]) == ([0], REASONS)
    assert (verdict["author"], verdict["given_at"]) == (room.world.address("dso"), before(T, 110))


def test_a_rejected_bid_is_explained_by_the_dsos_reason_also_before_the_offer_is_cleared_again(
    room: Room, caller: Caller, cleared: tuple[bytes, list[str]]
) -> None:
    offer, (rejected, accepted) = cleared
    reject_first(caller, offer)
    path = f"/v1/offers/0x{offer.hex()}/bids"
    for cleared_again in (False, True):
        if cleared_again:
            room.world.at(before(T, 99))
            rounds.run_due(room.market)
        why = caller("owner-0").get(f"{path}/{rejected}/explanation")
        assert (why["awarded"], why["reason"]) == (0, REASONS["0"])
        assert REASONS["0"].rstrip(".") in why["text"]
        won = caller("owner-1").get(f"{path}/{accepted}/explanation")
        assert (won["awarded"], won["reason"]) == (500, None)
        curve = caller("").get(f"/v1/offers/0x{offer.hex()}/merit-order")["bids"]
        assert [(step["awarded"], step["rejected"]) for step in curve] == [(0, True), (500, False)]
