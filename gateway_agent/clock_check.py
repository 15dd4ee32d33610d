"""Whether this gateway's clock can be believed, by what the oracle says of the time in the messages that it seals.

Such a message may come late, as what a broker has retained or queued does, and never early: what it says, and what has
passed since by a clock that nobody sets, is the least that the oracle's clock shows now. That is enough to know a clock
that is behind. One that is ahead is known once this least is known to be the present time: because this clock agreed
with it before, or because two messages, some seconds apart, said so; late copies come together.

Readings are signed only while both clocks agree, so that neither a wrong clock nor a lying oracle can put energy into
another interval. Orders are the oracle's own: while this clock is wrong, they are followed by the oracle's time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from market.domain.calendar import CLOCK_FRACTION

LEAST_TOLERANCE_S: Final = 3.0
"""Below it the cut-off seconds and the way of a message show."""
DRIFT_PERMILLE: Final = 0.2
"""By how much the clock that measures durations may be wrong: what the oracle said ages by it."""
APART_S: Final = 4
"""Two messages at least so far apart, of which the second one says the time that follows from the first, are live."""
PACE_S: Final = 2
"""How well the second one has to: seconds are cut off, and the way takes a moment."""


class Standing(StrEnum):
    """What is known of this gateway's clock."""

    UNKNOWN = "unknown"
    """The oracle has said nothing yet."""
    RIGHT = "right"
    UNSURE = "unsure"
    """What the oracle said is long ago, or this clock is ahead."""
    AHEAD = "ahead"
    BEHIND = "behind"

    @property
    def is_wrong(self) -> bool:
        """Whether nothing may be signed by this clock."""
        return self in (Standing.AHEAD, Standing.BEHIND)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known of the clock at a moment, and the time to go by [epoch s]; off_s: this clock minus the oracle's."""

    standing: Standing
    now: float
    off_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Word:
    """What the oracle said of its time, when it was heard, and whether that is known to have been at once."""

    said_at: float
    heard_s: float
    is_live: bool

    def expected(self, steady_s: float) -> float:
        """The time that follows from it."""
        return self.said_at + steady_s - self.heard_s

    def ahead_of(self, other: _Word) -> float:
        """By how much it says more than follows from another one [s]."""
        return self.said_at - other.expected(self.heard_s)

    def confirms(self, other: _Word) -> bool:
        """Whether it says what follows from an earlier one, so long after it that both are live."""
        return abs(self.ahead_of(other)) <= PACE_S and self.heard_s - other.heard_s >= APART_S


class ClockCheck:
    """The check of one gateway's clock. Times: now, said_at [epoch s]; steady_s: of a clock that nobody sets [s]."""

    def __init__(self, time_unit_s: int) -> None:
        self.tolerance_s = max(time_unit_s / CLOCK_FRACTION, LEAST_TOLERANCE_S)
        self._word: _Word | None = None
        self._rival: _Word | None = None
        """Says less than expected: a late copy, or the oracle's clock was ahead or is behind. It is believed where this
        clock and another message say the same."""

    def hear(self, said_at: float, now: float, steady_s: float) -> None:
        """Take in the time at which the oracle sealed a message that is here now."""
        agrees = abs(said_at - now) <= self.tolerance_s
        fresh = _Word(said_at, steady_s, is_live=agrees)
        word, rival = self._word, self._rival
        if word is None or fresh.ahead_of(word) > PACE_S or (agrees and not word.is_live):
            self._word, self._rival = fresh, None
        elif fresh.confirms(word) or (agrees and rival is not None and fresh.confirms(rival)):
            self._word, self._rival = replace(fresh, is_live=True), None
        elif fresh.ahead_of(word) < -PACE_S and (rival is None or fresh.ahead_of(rival) > PACE_S):
            self._rival = fresh

    def judge(self, now: float, steady_s: float) -> Judgement:
        """What is known of a clock that shows `now`; what the oracle said was no late copy where the two agree."""
        word = self._word
        if word is None:
            return Judgement(Standing.UNKNOWN, now)
        expected = word.expected(steady_s)
        off_s = now - expected
        allowed_s = self.tolerance_s + (steady_s - word.heard_s) * DRIFT_PERMILLE / 1000
        if abs(off_s) <= allowed_s:
            self._word = replace(word, is_live=True)
            return Judgement(Standing.RIGHT, now, off_s)
        if off_s < 0:
            return Judgement(Standing.BEHIND, expected, off_s)
        if word.is_live:
            return Judgement(Standing.AHEAD, expected, off_s)
        return Judgement(Standing.UNSURE, now, off_s)
