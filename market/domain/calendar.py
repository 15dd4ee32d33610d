"""The calendar of an interval: every moment and every deadline as data, computed as the contracts do.

Offsets are counted in hundredths of the market's time unit u before T (the start of the interval):
`T - u * n // 100`, rounded once. Source: docs/protocol.md, "Calendar of an interval".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from market.domain.intervals import QUARTER_HOUR_S, interval_of, is_interval, moment_after


class Moment(StrEnum):
    """The moments of an interval, in their order for an offer that answers a request."""

    BASELINES_ANCHORED = "baselines_anchored"
    BASELINES_DEADLINE = "baselines_deadline"
    REQUEST_PUBLISHED = "request_published"
    OFFER_OPENED = "offer_opened"
    GATEWAYS_BID = "gateways_bid"
    API_CLOSES = "api_closes"
    BIDS_POSTED = "bids_posted"
    GATE_CLOSURE = "gate_closure"
    CLEARED = "cleared"
    VERDICT_GIVEN = "verdict_given"
    CLEARING_DEADLINE = "clearing_deadline"
    CLEARED_AGAIN = "cleared_again"
    RED_DECIDED = "red_decided"
    CLEARING_AGAIN_DEADLINE = "clearing_again_deadline"
    FINALISED = "finalised"
    DISPATCHED = "dispatched"
    ACKNOWLEDGED = "acknowledged"
    CHANGES_DISPATCHED = "changes_dispatched"
    DELIVERY_STARTS = "delivery_starts"
    LAST_CHANGES_DISPATCHED = "last_changes_dispatched"
    DELIVERY_ENDS = "delivery_ends"
    LEASE_ENDS = "lease_ends"
    SETTLED = "settled"


REQUEST_OFFSETS: Final[Mapping[Moment, tuple[int, int]]] = MappingProxyType(
    {
        Moment.BASELINES_ANCHORED: (-410, 100),
        Moment.BASELINES_DEADLINE: (-400, 100),
        Moment.REQUEST_PUBLISHED: (-300, 100),
        Moment.OFFER_OPENED: (-275, 100),
        Moment.GATEWAYS_BID: (-250, 100),
        Moment.API_CLOSES: (-150, 100),
        Moment.BIDS_POSTED: (-145, 100),
        Moment.GATE_CLOSURE: (-140, 100),
        Moment.CLEARED: (-120, 100),
        Moment.VERDICT_GIVEN: (-110, 100),
        Moment.CLEARING_DEADLINE: (-100, 100),
        Moment.CLEARED_AGAIN: (-98, 100),
        Moment.RED_DECIDED: (-96, 100),
        Moment.CLEARING_AGAIN_DEADLINE: (-95, 100),
        Moment.FINALISED: (-93, 100),
        Moment.DISPATCHED: (-90, 100),
        Moment.ACKNOWLEDGED: (-50, 100),
        Moment.CHANGES_DISPATCHED: (-10, 100),
        Moment.DELIVERY_STARTS: (0, 1),
        Moment.LAST_CHANGES_DISPATCHED: (1, 3),
        Moment.DELIVERY_ENDS: (1, 1),
        Moment.LEASE_ENDS: (16, 15),
        Moment.SETTLED: (4, 3),
    }
)
"""Moment of an offer that answers a request -> (numerator, denominator) of u, relative to T."""

INTERNAL_OFFSETS: Final[Mapping[Moment, tuple[int, int]]] = MappingProxyType(
    {
        **REQUEST_OFFSETS,
        # INTERNAL is final by T - 3u, before requests, and opens only after the baselines are anchored.
        Moment.OFFER_OPENED: (-400, 100),
        Moment.GATEWAYS_BID: (-390, 100),
        Moment.API_CLOSES: (-355, 100),
        Moment.BIDS_POSTED: (-350, 100),
        Moment.GATE_CLOSURE: (-345, 100),
        Moment.CLEARED: (-325, 100),
        Moment.VERDICT_GIVEN: (-315, 100),
        Moment.CLEARING_DEADLINE: (-305, 100),
        Moment.CLEARED_AGAIN: (-303, 100),
        Moment.CLEARING_AGAIN_DEADLINE: (-300, 100),
        Moment.FINALISED: (-300, 100),
    }
)
"""The same for an INTERNAL offer."""

LEAD_HUNDREDTHS: Final = 50
"""Least time between the opening of an offer and its gate closure."""
CLEARING_HUNDREDTHS: Final = 40
"""Clearing and verdict are possible until gate closure plus this, that second included."""
CLEARING_AGAIN_HUNDREDTHS: Final = 45
"""Clearing again is possible before gate closure plus this."""


CLOCK_FRACTION: Final = 15
"""A gateway's clock is right while it differs from the oracle's by no more than u / 15."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """Moments and deadlines of intervals for one deployment.

    time_unit_s: market time unit u [s]; reading_deadline_s: after T, no reading counts as none [s].
    Every moment is in epoch seconds.
    """

    time_unit_s: int = QUARTER_HOUR_S
    reading_deadline_s: int = 86_400

    def __post_init__(self) -> None:
        if self.time_unit_s <= 0:
            raise ValueError(f"time_unit_s must be positive, not {self.time_unit_s}")
        if self.reading_deadline_s <= self.time_unit_s:
            raise ValueError("reading_deadline_s must be longer than the interval itself")

    def at(self, moment: Moment, interval: int, *, internal: bool = False) -> int:
        """When `moment` of `interval` is [epoch s]."""
        numerator, denominator = (INTERNAL_OFFSETS if internal else REQUEST_OFFSETS)[moment]
        span_s = self.time_unit_s * abs(numerator) // denominator
        return interval - span_s if numerator < 0 else interval + span_s

    def moments_of(self, interval: int, *, internal: bool = False) -> dict[Moment, int]:
        """All moments of an interval [epoch s]."""
        return {moment: self.at(moment, interval, internal=internal) for moment in Moment}

    def next_moment(self, after_s: int, moment: Moment, *, internal: bool = False) -> int:
        """The first time after another [epoch s] at which some interval has `moment`."""
        return moment_after(after_s, self.at(moment, 0, internal=internal), self.time_unit_s)

    def for_gate(self, moment: Moment, gate_closure: int, *, internal: bool = False) -> int:
        """When `moment` is for an offer whose gate closes earlier than the calendar's [epoch s]: as long after (or
        before) its own gate closure."""
        return gate_closure + self.at(moment, 0, internal=internal) - self.at(Moment.GATE_CLOSURE, 0, internal=internal)

    def hundredths(self, *, internal: bool = False) -> dict[str, int]:
        """The table as published: moment -> hundredths of u relative to T (thirds and fifteenths rounded)."""
        offsets = INTERNAL_OFFSETS if internal else REQUEST_OFFSETS
        return {
            moment.value: round(100 * numerator / denominator) for moment, (numerator, denominator) in offsets.items()
        }

    def interval_of(self, at_s: float) -> int:
        """Interval that contains a moment [epoch s]."""
        return interval_of(at_s, self.time_unit_s)

    def next_interval(self, interval: int, steps: int = 1) -> int:
        """The interval `steps` later (earlier when negative)."""
        return interval + steps * self.time_unit_s

    def is_interval(self, interval: int) -> bool:
        """Whether `interval` is the start of one."""
        return is_interval(interval, self.time_unit_s)

    def before(self, interval: int, hundredths: int) -> int:
        """T - u * n // 100, as Calendar.sol computes a deadline."""
        return interval - self.time_unit_s * hundredths // 100

    def span_s(self, hundredths: int) -> int:
        """u * n // 100 [s]."""
        return self.time_unit_s * hundredths // 100

    def end_of(self, interval: int) -> int:
        """End of delivery."""
        return interval + self.time_unit_s

    def lease_end(self, interval: int) -> int:
        """End of a dispatch's lease: T + u + u/15."""
        return self.at(Moment.LEASE_ENDS, interval)

    def last_command(self, interval: int) -> int:
        """Before it, a command is on the chain in time for the last dispatch: a fifteenth of u earlier."""
        return self.at(Moment.LAST_CHANGES_DISPATCHED, interval) - self.time_unit_s // 15

    def reading_deadline(self, interval: int) -> int:
        """After it, an award without reading can be expired."""
        return interval + self.reading_deadline_s

    def latest_gate_closure(self, interval: int, *, internal: bool = False) -> int:
        """Latest gate closure that the contract accepts."""
        return self.at(Moment.GATE_CLOSURE, interval, internal=internal)

    def earliest_gate_closure(self, opened_at: int) -> int:
        """Earliest gate closure of an offer opened at `opened_at` that the contract accepts."""
        return opened_at + self.span_s(LEAD_HUNDREDTHS)

    def clearing_deadline(self, gate_closure: int) -> int:
        """Last moment to clear the first time and to give a verdict."""
        return gate_closure + self.span_s(CLEARING_HUNDREDTHS)

    def clearing_again_deadline(self, gate_closure: int) -> int:
        """Clearing again after a verdict is possible before this moment."""
        return gate_closure + self.span_s(CLEARING_AGAIN_HUNDREDTHS)

    def final_at(
        self,
        gate_closure: int,
        *,
        verdict_rejects: bool | None = None,
        cleared_again: bool = False,
    ) -> int:
        """When a cleared offer may be finalised; verdict_rejects: None without a verdict. 0: at once."""
        if verdict_rejects is None:
            return self.clearing_deadline(gate_closure) + 1  # the verdict may come in that second still
        if verdict_rejects and not cleared_again:
            return self.clearing_again_deadline(gate_closure)
        return 0

    def reclaimable_at(self, interval: int) -> int:
        """From then on no offer can be opened for a request's interval: T - 1.9u."""
        return self.latest_gate_closure(interval) - self.span_s(LEAD_HUNDREDTHS)
