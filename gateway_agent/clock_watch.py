"""One gateway's watch over its clock: what the oracle says of the time comes in, a change is said to the owner."""

from __future__ import annotations

from typing import Final

import structlog

from gateway_agent.buffer import Buffer
from gateway_agent.clock_check import ClockCheck, Judgement, Standing
from gateway_agent.metrics import Metrics
from market.clock import Clock, SimulatedClock
from oracle.messages import RetainedMessage

log = structlog.get_logger(__name__)

_ASK_AGAIN_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 120.0


class ClockWatch:
    """The clock of one gateway and what is known of it. `standing`: by the last look."""

    def __init__(self, clock: Clock, time_unit_s: int, buffer: Buffer, metrics: Metrics, name: str) -> None:
        self._clock = clock
        self._buffer = buffer
        self._metrics = metrics
        self._name = name
        self._check = ClockCheck(time_unit_s)
        self._pause_s = _ASK_AGAIN_S
        self._ask_at_s = 0.0
        self.standing = Standing.UNKNOWN
        self.tolerance_s = self._check.tolerance_s

    def own_now(self) -> int:
        """What the clock shows, right or wrong [epoch s]."""
        return int(self._clock.now())

    def now(self) -> int:
        """The time to go by [epoch s]: the clock's; the oracle's where that is wrong."""
        return int(self._judged().now)

    def look(self) -> int:
        """The same, and what is known of the clock is brought up to it: a change is said in log, journal and counters.
        Not within a transaction of the buffer."""
        found = self._judged()
        if found.standing is not self.standing:
            before, self.standing = self.standing, found.standing
            self._pause_s, self._ask_at_s = _ASK_AGAIN_S, 0.0
            self._say(before, found)
        return int(found.now)

    def moment(self) -> tuple[float, float]:
        """What clock and steady clock show, for `hear`."""
        return self._clock.now(), self._clock.steady()

    def hear(self, message: RetainedMessage, came: tuple[float, float]) -> None:
        """Take in the time at which a message of the oracle was sealed that came at a moment."""
        if isinstance(self._clock, SimulatedClock):
            return  # nobody can set it, and it moves on in leaps
        self._check.hear(message.issued_at, *came)
        self.look()

    def is_to_ask(self) -> bool:
        """Whether the oracle's word is needed, and was not asked for just now; said once, after growing pauses."""
        steady_s = self._clock.steady()
        if not (self.standing.is_wrong or self.standing is Standing.UNSURE) or steady_s < self._ask_at_s:
            return False
        self._ask_at_s, self._pause_s = steady_s + self._pause_s, min(2 * self._pause_s, _LONGEST_PAUSE_S)
        return True

    def _judged(self) -> Judgement:
        return self._check.judge(*self.moment())

    def _say(self, before: Standing, found: Judgement) -> None:
        standing, off_s, since = found.standing, round(found.off_s), int(found.now)
        with self._buffer.transaction() as moment:
            moment.set_value("clock", {"standing": standing.value, "off_s": off_s, "since": since})
            if before.is_wrong or standing.is_wrong:
                moment.note(since, "clock", standing=standing.value, off_s=off_s)
        if standing.is_wrong:
            self._metrics.count("clocks_wrong_total", way=standing.value)
            log.error("the clock is wrong: nothing is signed by it", nanogrid=self._name, off_s=off_s)
        elif before.is_wrong:
            log.warning("the clock is not wrong any more", nanogrid=self._name, off_s=off_s)
