"""Records keep every value in its bits, refuse what does not fit, and rank by price, reservation and time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.hashing import keccak256
from market.domain.products import Side
from market.domain.records import (
    AwardRecord,
    BidRecord,
    WireBid,
    fold_chain,
    pack_wire_bids,
    position_of_rank,
    price_of_rank,
    rank,
    rejected_bitmap,
    rejected_positions,
    split_wire_bids,
    unpack_bids,
)
from market.domain.units import MAX_PRICE_UEUR_KWH, MAX_QUANTITY, index_of, nanogrid_id, portfolio_of

PRICES = st.integers(1, MAX_PRICE_UEUR_KWH)
U24 = st.integers(0, MAX_QUANTITY)
U16 = st.integers(0, 2**16 - 1)


@st.composite
def bid_records(draw: st.DrawFn) -> BidRecord:
    quantity = draw(U24)
    minimum = draw(st.integers(0, quantity))
    return BidRecord(draw(PRICES), quantity, minimum, draw(U16), draw(st.integers(0, 2)), draw(st.booleans()))


AWARDS = st.builds(AwardRecord, PRICES, st.integers(1, MAX_QUANTITY), U24, U16, st.integers(0, 2), st.booleans())


@given(bid_records())
def test_a_bid_survives_its_record(record: BidRecord) -> None:
    packed = record.pack()
    assert len(packed) == 12
    assert BidRecord.unpack(packed) == record


@given(AWARDS)
def test_an_award_survives_its_record(award: AwardRecord) -> None:
    assert AwardRecord.unpack(award.pack()) == award


def test_the_fields_of_a_bid_stand_where_the_protocol_says() -> None:
    record = BidRecord(price_ueur_kwh=5, quantity=0x0A0B0C, minimum=0x010203, index=0x1122, revision=2)
    assert record.pack() == ((5 << 3 | 1 << 2 | 2).to_bytes(4, "big") + bytes.fromhex("0a0b0c0102031122"))
    assert record.pack(signed=True) == ((5 << 3 | 2).to_bytes(4, "big") + bytes.fromhex("0a0b0c0102031122"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"price_ueur_kwh": 0},
        {"price_ueur_kwh": 2**29},
        {"quantity": 2**24},
        {"quantity": -1},
        {"minimum": 11},
        {"index": 2**16},
        {"revision": 3},
        {"price_ueur_kwh": 1.5},
        {"quantity": True},
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_never_reaches_a_record(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BidRecord(**({"price_ueur_kwh": 1, "quantity": 10, "minimum": 0, "index": 0} | wrong))


@given(bid_records(), bid_records(), U24, U24, st.sampled_from(Side))
def test_rank_orders_by_price_then_reservation_then_position(
    one: BidRecord, other: BidRecord, one_at: int, other_at: int, side: Side
) -> None:
    def order(record: BidRecord, position: int) -> tuple[int, bool, int]:
        price = record.price_ueur_kwh if side is Side.BUY else -record.price_ueur_kwh
        return price, not record.reserved, position

    assert (rank(one, one_at, side) < rank(other, other_at, side)) == (order(one, one_at) < order(other, other_at))
    assert price_of_rank(rank(one, one_at, side), side) == one.price_ueur_kwh
    assert position_of_rank(rank(one, one_at, side)) == one_at
    assert rank(one, one_at, side) < 2**64 - 1


@given(st.lists(bid_records(), max_size=6), st.integers(0, 6))
def test_the_chain_does_not_depend_on_how_records_are_batched(records: list[BidRecord], cut: int) -> None:
    packed = [record.pack() for record in records]
    whole = fold_chain(b"".join(packed))
    assert fold_chain(b"".join(packed[cut:]), fold_chain(b"".join(packed[:cut]))) == whole
    assert [bid.record for bid in unpack_bids(b"".join(packed))] == records


def test_the_chain_starts_at_zero_and_folds_each_record() -> None:
    record = BidRecord(1, 2, 0, 3).pack()
    assert fold_chain(b"") == bytes(32)
    assert fold_chain(record) == keccak256(bytes(32) + record)


@given(st.lists(st.tuples(bid_records(), st.binary(min_size=64, max_size=64)), max_size=4))
def test_bids_on_the_wire_are_76_bytes_with_the_flag_left_to_the_contract(bids: list[tuple[BidRecord, bytes]]) -> None:
    wire = pack_wire_bids(WireBid(record, signature) for record, signature in bids)
    assert len(wire) == 76 * len(bids)
    for (record, signature), read in zip(bids, split_wire_bids(wire), strict=True):
        assert read.signature == signature
        assert read.record.pack(signed=True) == record.pack(signed=True)


@pytest.mark.parametrize("length", [1, 75, 77])
def test_a_cut_bid_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="bids"):
        split_wire_bids(bytes(length))


@given(st.frozensets(st.integers(0, 300)))
def test_a_verdicts_bitmap_names_its_positions(positions: frozenset[int]) -> None:
    assert rejected_positions(rejected_bitmap(positions)) == positions


def test_bit_p_of_the_bitmap_is_the_least_significant_first() -> None:
    assert rejected_bitmap({0, 9}) == bytes([1, 2])


@given(st.integers(0, 2**32 - 1), U16)
def test_a_nanogrids_id_holds_portfolio_and_index(portfolio: int, index: int) -> None:
    nanogrid = nanogrid_id(portfolio, index)
    assert (portfolio_of(nanogrid), index_of(nanogrid)) == (portfolio, index)
