"""What nobody waits for any longer is looked after beside the calendar: that a chain goes on is seen soon."""

from __future__ import annotations

import pytest

from market.chain.refusals import NotMinedYet
from market.clock import SystemClock
from market.server import schedules_of
from market.services import abandoned
from market.services.backlog import standstill
from tests.cli.conftest import Room
from tests.conftest import TEST_EPOCH


def stands_still_since(room: Room) -> int | None:
    with room.market.reading() as session:
        return standstill(session, room.market.now_s())


def test_a_market_whose_chain_goes_on_says_so_although_no_caller_asks_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    with room.world.standing_still(1), monkeypatch.context() as hurried:
        hurried.setattr("market.chain.sender.RECEIPT_WITHIN_S", 0.3)
        with pytest.raises(NotMinedYet):
            room.market.relay(room.world.contracts.token.functions.approve(room.world.address("dso"), 1), "abandoned")
    room.world.at(room.world.now_s + 60)
    assert stands_still_since(room) == TEST_EPOCH
    work = abandoned.rounds_of(room.market.relayer, SystemClock())
    assert work is not None
    work.run()
    assert stands_still_since(room) is None


def test_a_process_in_real_time_looks_every_few_seconds_whatever_its_calendar_is(room: Room) -> None:
    schedules = schedules_of(room.market, SystemClock())

    def longest_wait_s(name: str) -> int:
        unit = range(TEST_EPOCH, TEST_EPOCH + room.market.calendar.time_unit_s)
        return max(schedules[name].next_moment(now_s) - now_s for now_s in unit)

    assert longest_wait_s("transactions") <= 5
    assert longest_wait_s("calendar") > 300, "the calendar alone would leave it for minutes"
