"""Settlement's packed forms: readings on their way to the contract, results on their way back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.settled_records import (
    MAX_ORDINAL,
    AwardResult,
    SettlementReading,
    pack_readings,
    unpack_results,
)
from market.domain.settlement import Outcome

INT32 = st.integers(-(2**31), 2**31 - 1)
RESULTS = st.builds(
    AwardResult,
    ordinal=st.integers(0, MAX_ORDINAL),
    outcome=st.sampled_from(Outcome),
    delivered=st.integers(0, 2**24 - 1),
    baseline=INT32,
    metered=INT32,
)


@given(st.lists(RESULTS, max_size=20))
def test_results_are_read_as_they_were_packed(results: list[AwardResult]) -> None:
    packed = b"".join(result.pack() for result in results)
    assert len(packed) == 15 * len(results)
    assert unpack_results(packed) == results


def test_results_are_whole() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        unpack_results(bytes(16))


def test_a_reading_is_ordinal_energies_sequence_and_signature() -> None:
    reading = SettlementReading(5, -1, 2, 3, b"s" * 64)
    assert reading.pack() == bytes.fromhex("000005 ffffffff 00000002 00000003") + b"s" * 64
    assert reading.argument() == (5, -1, 2, 3, b"s" * 64)
    assert pack_readings([reading, reading]) == 2 * reading.pack()


def test_a_p256_signature_is_longer_and_shows_in_the_ordinal() -> None:
    packed = SettlementReading(5, 0, 0, 0, b"s" * 128).pack()
    assert packed[:3] == bytes.fromhex("800005")
    assert len(packed) == 143


@pytest.mark.parametrize("length", [0, 63, 65, 127])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="64 or 128"):
        SettlementReading(0, 0, 0, 0, bytes(length)).pack()


def test_an_ordinal_leaves_the_highest_bit_free() -> None:
    with pytest.raises(ValueError, match="ordinal"):
        SettlementReading(MAX_ORDINAL + 1, 0, 0, 0, bytes(64)).pack()
