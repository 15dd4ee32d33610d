"""A portfolio whose seats fill more than one word of the contracts' bitmaps: each index is itself alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import pytest
from eth_utils import keccak
from web3.logs import DISCARD

from market.chain.embedded import start_anvil
from market.domain.error_texts import BidRejection
from market.domain.merit_order import claim_of, clear_greedy
from market.domain.messages import Reading
from market.domain.products import Product, Side
from market.domain.records import BidRecord, PostedBid, pack_bids
from market.domain.signing import address_of, sign_message
from market.domain.trees import award_root
from market.domain.typed_data import Domain
from tests.conftest import TEST_EPOCH, taken_by_nobody
from tests.contracts_properties.auction_house import FIRST_INTERVAL, FIRST_MONTH, PORTFOLIO
from tests.contracts_properties.lockstep import PLAYED, SEATS, SeatHouse

RESERVED = PLAYED[::3]
LIARS = (1, 9, 128, 255, 256, 259)
BIDDERS = (0, 1, 2, 4, 5, 6, 7, 8, 9, 130, 255, 256, 259)
WINNERS = (1, 130, 256)
"""Of the first offer of the interval; 257 and 258 would be their places in another word."""
INDICES_PER_WORD = 256
WORDS = 3


@pytest.fixture(scope="module")
def prepared_house() -> Iterator[SeatHouse]:
    """Reserved are seats of every word, entered one after the other."""
    with start_anvil(taken_by_nobody(), timestamp=TEST_EPOCH) as chain:
        yield SeatHouse.build(chain)


@pytest.fixture
def house(prepared_house: SeatHouse) -> Iterator[SeatHouse]:
    """What a test does to it is taken back."""
    mark = prepared_house.chain.request("evm_snapshot")
    yield prepared_house
    prepared_house.chain.request("evm_revert", mark)


def words_of(indices: Sequence[int]) -> list[int]:
    """A bitmap by index."""
    words = [0] * WORDS
    for index in indices:
        words[index // INDICES_PER_WORD] |= 1 << index % INDICES_PER_WORD
    assert all(words[: SEATS // INDICES_PER_WORD + 1]), "a word that is empty shows nothing"
    return words


@pytest.mark.parametrize("month", [FIRST_MONTH, FIRST_MONTH + 1])
def test_a_reservation_leaves_those_of_all_other_seats_as_they_are(house: SeatHouse, month: int) -> None:
    word_of = house.capacity_register.functions.reservedWord
    words = [word_of(PORTFOLIO, Product.CM_REALTIME, month, word).call() for word in range(WORDS)]
    assert words == words_of(RESERVED)


def test_each_seat_is_reserved_by_its_own_contract_alone(house: SeatHouse) -> None:
    asked = house.capacity_register.functions.isReserved
    nanogrids = {index: PORTFOLIO << 16 | index for index in range(SEATS)}
    reserved = [index for index, id_ in nanogrids.items() if asked(id_, Product.CM_REALTIME, FIRST_INTERVAL).call()]
    assert reserved == [*RESERVED]


def test_a_lie_annuls_the_readings_of_its_own_seat_alone(house: SeatHouse) -> None:
    metering, settlement = house.metering.functions, house.settlement.functions
    domain = Domain(house.web3.eth.chain_id, house.deployment.addresses["Settlement"])
    for index in LIARS:
        key = keccak(text=f"gateway {index}")
        house.send(settlement.setGateway(PORTFOLIO << 16 | index, address_of(key)), house.operator)
        readings = [Reading(PORTFOLIO << 16 | index, FIRST_INTERVAL, wh, 0, sequence=1) for wh in (100, 200)]
        signed = [(reading.arguments(), sign_message(key, reading, domain).compact()) for reading in readings]
        house.send(metering.annulReadings(*signed[0], *signed[1]), house.anyone)
    words = [metering.annulledWord(PORTFOLIO, FIRST_INTERVAL, word).call() for word in range(WORDS)]
    assert words == words_of(LIARS)
    annulled = [i for i in range(SEATS) if metering.isAnnulled(PORTFOLIO << 16 | i, FIRST_INTERVAL).call()]
    assert annulled == [*LIARS]


def posted(house: SeatHouse, offer: bytes, records: Sequence[BidRecord]) -> dict[int, BidRejection | None]:
    """What becomes of each bid of a batch, by index; None: it is accepted."""
    receipt = house.post(offer, records)
    skipped = house.auction.events.BidSkipped().process_receipt(receipt, errors=DISCARD)
    reasons = {BidRecord.unpack(event.args.record.to_bytes(12, "big")).index: event.args.reason for event in skipped}
    return {
        record.index: BidRejection(reasons[record.index]) if record.index in reasons else None for record in records
    }


def test_each_seat_wins_once_and_posts_three_times_whatever_the_others_do(house: SeatHouse) -> None:
    house.sell_once(WINNERS)
    offer = house.open_for(Side.BUY).digest(house.domain)
    firsts = [BidRecord(250_000, 10, 0, index, 0) for index in BIDDERS]
    fates = posted(house, offer, firsts)
    assert fates == {i: BidRejection.ALREADY_SOLD if i in WINNERS else None for i in BIDDERS}
    others = [index for index in BIDDERS if index not in WINNERS]
    for index in others:  # one after the other: none counts for another
        assert posted(house, offer, [BidRecord(240_000, 20, 0, index, 1)]) == {index: None}
    for index in reversed(others):
        assert posted(house, offer, [BidRecord(1, 0, 0, index, 2)]) == {index: None}
        assert set(posted(house, offer, [BidRecord(1, 0, 0, index, 2)]).values()) == {BidRejection.WRONG_REVISION}
    posts_of = house.auction.functions.postsOf
    assert {index: posts_of(offer, index).call() for index in BIDDERS} == {i: 3 * (i not in WINNERS) for i in BIDDERS}


EVERYBODY: Final = tuple((index, 0) for index in BIDDERS)


@pytest.mark.parametrize(
    "batches",
    [
        [EVERYBODY, [(5, 1), (256, 1)]],
        [EVERYBODY, [(5, 1), (7, 1), (256, 1)], [(5, 2)]],
        [EVERYBODY, [(5, 1), (256, 1), (259, 1)], [(256, 2)], [(7, 1)]],
    ],
    ids=["once more", "withdrawn in the first word", "withdrawn in the second word, before another is revised"],
)
def test_what_a_seat_posted_last_counts_in_the_clearing_wherever_others_stand(
    house: SeatHouse, batches: Sequence[Sequence[tuple[int, int]]]
) -> None:
    """Index and revision of each post; all is bought that is left. The third post withdraws."""
    house.sell_once()
    offer = house.open_for(Side.BUY)
    id_ = offer.digest(house.domain)
    terms = {0: (250_000, 10), 1: (240_000, 20), 2: (1, 0)}
    bids: list[PostedBid] = []
    for batch in batches:
        records = [BidRecord(*terms[revision], 0, i, revision, reserved=i in RESERVED) for i, revision in batch]
        assert set(posted(house, id_, records).values()) == {None}
        bids += [PostedBid(record, len(bids) + place) for place, record in enumerate(records)]
    last = {bid.record.index: bid.record.quantity for bid in bids}
    clearing = clear_greedy(offer.quantity, Side.BUY, bids)
    assert {award.index: award.quantity for award in clearing.awards} == {i: won for i, won in last.items() if won}
    house.at(offer.gate_closure)
    house.send(house.clear(id_, claim_of(clearing), pack_bids(bids)), house.anyone)
    assert house.auction.functions.stateOf(id_).call().awardsRoot == award_root(clearing.awards)
