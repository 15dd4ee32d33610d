"""Batches of a settlement: no award is left out, none comes twice, none takes more than a transaction may."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.chain.profiles import PROFILES, Profile
from market.domain import settlement_batches
from market.domain.settlement_batches import (
    EXPIRING,
    MAX_BATCH_BYTES,
    MAX_BATCH_GAS,
    Call,
    Load,
    batches,
    batches_of_expiry,
    load_of_expiry,
    load_of_reading,
    settling,
)
from market.domain.units import P256_SIGNATURE_BYTES, RECORD_BYTES, RECORDS_PER_LEAF, SIGNATURE_BYTES

TRANSACTION_GAS: Final = 16_777_216
TRANSACTION_BYTES: Final = 131_072
SECP256K1, P256 = bytes(SIGNATURE_BYTES), bytes(P256_SIGNATURE_BYTES)

ORDINALS = st.sets(st.integers(0, 10_500), max_size=300).map(sorted)
CALLS = st.one_of(st.just(EXPIRING), st.integers(1, 25_000).map(settling))


@st.composite
def loads(draw: st.DrawFn) -> list[Load]:
    """Awards of an offer, some alike and some of any size."""
    gas, length_bytes = st.integers(0, MAX_BATCH_GAS // 2), st.integers(0, MAX_BATCH_BYTES // 2)
    alike = draw(st.tuples(gas, length_bytes))
    each = st.one_of(st.just(alike), st.tuples(gas, length_bytes))
    return [Load(ordinal, *draw(each)) for ordinal in draw(ORDINALS)]


def taken(call: Call, batch: list[int], given_: dict[int, Load]) -> tuple[int, int]:
    """Gas and bytes of a batch."""
    records = batch[-1] - batch[0] + 1
    gas = call.start_gas + records * call.record_gas + sum(given_[ordinal].gas for ordinal in batch)
    length = call.start_bytes + records * RECORD_BYTES + sum(given_[ordinal].length_bytes for ordinal in batch)
    return gas, length


@given(call=CALLS, given_=loads())
def test_every_award_is_in_one_batch_and_in_the_order_of_ordinals(call: Call, given_: list[Load]) -> None:
    assert [ordinal for batch in batches(call, given_) for ordinal in batch] == [load.ordinal for load in given_]


@given(call=CALLS, given_=loads())
def test_a_batch_has_room_for_its_awards_and_for_no_further_one(call: Call, given_: list[Load]) -> None:
    by_ordinal = {load.ordinal: load for load in given_}
    cut = batches(call, given_)
    for place, batch in enumerate(cut):
        gas, length = taken(call, batch, by_ordinal)
        assert len(batch) == 1 or (gas <= MAX_BATCH_GAS and length <= MAX_BATCH_BYTES)
        if place + 1 < len(cut):
            gas, length = taken(call, [*batch, cut[place + 1][0]], by_ordinal)
            assert gas > MAX_BATCH_GAS or length > MAX_BATCH_BYTES


def test_a_limit_leaves_a_tenth_and_more_of_what_a_transaction_may_take() -> None:
    # Proofs of two trees, binding and the transaction's own fields take less than 2,000 bytes.
    assert MAX_BATCH_BYTES <= TRANSACTION_BYTES - 10_000
    assert MAX_BATCH_GAS <= 0.9 * TRANSACTION_GAS


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_batch_has_room_in_what_a_transaction_is_given_on_every_chain(profile: Profile) -> None:
    assert MAX_BATCH_GAS <= 0.9 * profile.gas_limit <= TRANSACTION_GAS


@pytest.mark.parametrize("values", [10, 100, 1_000, 10_000])
def test_the_larger_the_portfolio_the_more_awards_share_its_baseline_vector(values: int) -> None:
    plain = [load_of_reading(ordinal, SECP256K1, is_plain=True) for ordinal in range(values)]
    call = settling(values)
    cut = batches(call, plain)
    assert call.start_gas * len(cut) / values < 0.13 * plain[0].gas or len(cut) == 1


def test_awards_that_lie_far_apart_expire_in_batches_of_their_own() -> None:
    """One batch would judge all that lies between, too: 120 million gas."""
    assert batches_of_expiry([0, 1, 9_998, 9_999], []) == [[0, 1], [9_998, 9_999]]


@given(due=ORDINALS, unsettled=st.sets(st.integers(0, 10_500), max_size=20))
def test_no_batch_of_expiry_shows_a_leaf_with_an_award_that_is_to_be_settled(
    due: list[int], unsettled: set[int]
) -> None:
    kept = {ordinal // RECORDS_PER_LEAF for ordinal in unsettled}
    cut = batches_of_expiry(due, unsettled)
    for batch in cut:
        assert kept.isdisjoint(range(batch[0] // RECORDS_PER_LEAF, batch[-1] // RECORDS_PER_LEAF + 1))
    assert [each for batch in cut for each in batch] == [each for each in due if each // RECORDS_PER_LEAF not in kept]


def test_what_leaves_the_tight_loop_has_less_company() -> None:
    def most(signature: bytes, is_plain: bool) -> int:
        return len(batches(settling(1_000), [load_of_reading(each, signature, is_plain) for each in range(1_000)])[0])

    assert most(SECP256K1, is_plain=True) == 1_000
    assert most(SECP256K1, is_plain=False) == most(P256, is_plain=True) < 200


def test_a_batch_takes_one_award_even_where_the_vector_alone_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlement_batches, "MAX_BATCH_BYTES", 10)
    assert batches(settling(1_000), [load_of_expiry(0), load_of_expiry(1)]) == [[0], [1]]
