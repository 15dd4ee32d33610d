"""What a gateway knows of its clock from what the oracle says of the time, message by message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_agent.clock_check import ClockCheck, Judgement, Standing

UNIT_S = 900
NOON = 1_780_000_200.0
HOUR_S = 3600


class Day:
    """Real time, in which a clock that is off by some seconds hears messages that were sealed some seconds ago."""

    def __init__(self, off_s: float = 0.0) -> None:
        self.check = ClockCheck(UNIT_S)
        self.passed_s = 0.0
        self.off_s = off_s

    def wait(self, seconds: float) -> None:
        self.passed_s += seconds

    def hear(self, late_by_s: float = 0.1, oracle_off_s: float = 0.0) -> None:
        said_at = int(NOON + self.passed_s - late_by_s + oracle_off_s)
        self.check.hear(said_at, NOON + self.passed_s + self.off_s, self.passed_s)

    @property
    def standing(self) -> Standing:
        return self._judged().standing

    @property
    def wrong_by_s(self) -> float:
        """How far the time that it goes by is from the real one."""
        return self._judged().now - NOON - self.passed_s

    def _judged(self) -> Judgement:
        return self.check.judge(NOON + self.passed_s + self.off_s, self.passed_s)


def test_a_clock_of_which_nobody_has_said_anything_is_believed() -> None:
    assert Day(HOUR_S).standing is Standing.UNKNOWN
    assert not Standing.UNKNOWN.is_wrong


@pytest.mark.parametrize("off_s", [-59, 0, 59])
def test_a_clock_that_agrees_is_right_and_is_gone_by(off_s: float) -> None:
    day = Day(off_s)
    day.hear()
    assert (day.standing, day.wrong_by_s) == (Standing.RIGHT, off_s)


@pytest.mark.parametrize("jump_s", [-86_400, -HOUR_S, -90, 90, HOUR_S, 86_400])
def test_a_clock_that_jumps_is_wrong_at_once_and_right_when_it_is_set_right(jump_s: float) -> None:
    day = Day()
    day.hear()
    day.wait(7_000)
    day.off_s = jump_s
    assert day.standing is (Standing.AHEAD if jump_s > 0 else Standing.BEHIND)
    assert abs(day.wrong_by_s) <= 2, "meanwhile it goes by the oracle's time"
    day.wait(7_000)
    day.off_s = 0
    assert day.standing is Standing.RIGHT


def test_a_clock_that_is_behind_from_the_start_is_known_from_one_message() -> None:
    day = Day(-HOUR_S)
    day.hear()
    assert day.standing is Standing.BEHIND


def test_a_clock_that_is_ahead_from_the_start_is_known_from_two_messages_some_seconds_apart() -> None:
    day = Day(HOUR_S)
    day.hear()
    assert day.standing is Standing.UNSURE
    day.wait(5)
    day.hear()
    assert day.standing is Standing.AHEAD
    day.off_s = 0
    assert day.standing is Standing.RIGHT


def test_late_copies_do_not_make_a_right_clock_wrong() -> None:
    day = Day()
    for late_by_s in (9_000, 7_200, 7_199, 3_600, 300):
        day.hear(late_by_s)
    assert day.standing is Standing.UNSURE
    day.hear()
    assert day.standing is Standing.RIGHT
    for late_by_s in (9_000, 7_200, 3_600, 61):
        day.hear(late_by_s)
        assert day.standing is Standing.RIGHT


def test_a_message_that_comes_again_and_again_is_a_late_copy() -> None:
    day = Day()
    for late_by_s in range(4_000, 4_100, 5):
        day.hear(late_by_s)
        day.wait(5)
    assert not day.standing.is_wrong


def test_an_old_message_does_not_make_a_clock_that_was_set_back_right() -> None:
    day = Day()
    day.hear()
    day.wait(10_000)
    day.off_s = -HOUR_S
    day.hear(late_by_s=HOUR_S)
    assert day.standing is Standing.BEHIND


def test_an_oracle_that_is_behind_does_not_silence_gateways_that_agreed_with_it() -> None:
    day = Day()
    day.hear()
    for _ in range(10):
        day.wait(900)
        day.hear(oracle_off_s=-HOUR_S)
        assert day.standing is Standing.RIGHT


def test_an_oracle_that_was_ahead_is_believed_again_when_it_is_right_again() -> None:
    day = Day()
    day.hear()
    day.wait(900)
    day.hear(oracle_off_s=HOUR_S)
    assert day.standing is Standing.BEHIND, "which of the two is wrong cannot be known: nothing is signed"
    day.wait(5)
    day.hear(oracle_off_s=HOUR_S)
    for _ in range(2):
        day.wait(900)
        day.hear()
    assert day.standing is Standing.RIGHT


def test_a_month_without_a_word_does_not_make_a_right_clock_wrong() -> None:
    day = Day()
    day.hear()
    day.wait(30 * 86_400)
    day.off_s = 30 * 86_400 * 150e-6  # the steady clock loses 13 s a day against the one that is kept right
    assert day.standing is Standing.RIGHT


@given(st.lists(st.tuples(st.floats(0, 20_000), st.floats(0, 50_000)), max_size=30))
def test_no_message_however_late_makes_a_clock_wrong_that_has_agreed(messages: list[tuple[float, float]]) -> None:
    day = Day()
    day.hear()
    for wait_s, late_by_s in messages:
        day.wait(wait_s)
        day.hear(late_by_s)
        assert day.standing is Standing.RIGHT
