"""A portfolio whose seats fill more than one word of the contracts' bitmaps: each index is itself alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from market.chain.embedded import start_anvil
from market.domain.products import Product
from tests.conftest import TEST_EPOCH, taken_by_nobody
from tests.contracts_properties.auction_house import FIRST_INTERVAL, FIRST_MONTH, PORTFOLIO
from tests.contracts_properties.lockstep import PLAYED, SEATS, SeatHouse

RESERVED = {*PLAYED[::3]}
INDICES_PER_WORD = 256


@pytest.fixture(scope="module")
def house() -> Iterator[SeatHouse]:
    """Reserved are seats of every word, entered one after the other."""
    with start_anvil(taken_by_nobody(), timestamp=TEST_EPOCH) as chain:
        built: SeatHouse = SeatHouse.build(chain)
        yield built


@pytest.mark.parametrize("month", [FIRST_MONTH, FIRST_MONTH + 1])
def test_a_reservation_leaves_those_of_all_other_seats_as_they_are(house: SeatHouse, month: int) -> None:
    words = [
        house.capacity_register.functions.reservedWord(PORTFOLIO, Product.CM_REALTIME, month, word).call()
        for word in range(3)
    ]
    expected = [0, 0, 0]
    for index in RESERVED:
        expected[index // INDICES_PER_WORD] |= 1 << index % INDICES_PER_WORD
    assert words == expected
    assert expected[1] != 0


def test_each_seat_is_reserved_by_its_own_contract_alone(house: SeatHouse) -> None:
    asked = house.capacity_register.functions.isReserved
    reserved = {
        index for index in range(SEATS) if asked(PORTFOLIO << 16 | index, Product.CM_REALTIME, FIRST_INTERVAL).call()
    }
    assert reserved == RESERVED
