"""The model of MeteringOracle: anchored baselines, announced and annulled readings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from market.domain.calendar import Calendar
from market.domain.messages import Reading
from tests.stateful.model.refusal import Context, Refused
from tests.stateful.model.registry import ORACLE, RegistryModel

if TYPE_CHECKING:
    from tests.stateful.model.settlement import SettlementModel

LATEST_CLOSURE_HUNDREDTHS = 140


@dataclass(frozen=True)
class Anchor:
    root: bytes
    anchored_at: int
    count: int


@dataclass(frozen=True)
class Announcement:
    reading: Reading
    announced_at: int


@dataclass
class MeteringModel:
    context: Context
    registry: RegistryModel
    calendar: Calendar
    settlement: SettlementModel = field(init=False)
    baselines: dict[tuple[int, int, int], Anchor] = field(default_factory=dict)
    announced: dict[tuple[int, int], Announcement] = field(default_factory=dict)
    annulled: set[tuple[int, int]] = field(default_factory=set)

    def anchor_baselines(self, sender: str, anchors: Sequence[tuple[int, int, int, int, bytes]]) -> None:
        self._require_oracle(sender)
        fresh: dict[tuple[int, int, int], Anchor] = {}
        for portfolio, interval, kind, count, root in anchors:
            self._require_interval(interval)
            deadline = self.calendar.before(interval, LATEST_CLOSURE_HUNDREDTHS)
            if self.context.now > deadline:
                raise Refused("AnchoredTooLate", interval, deadline)
            if (portfolio, interval, kind) in self.baselines | fresh:
                raise Refused("AlreadyAnchored", portfolio, interval, kind)
            fresh[portfolio, interval, kind] = Anchor(root, self.context.now, count)
        self.baselines |= fresh
        for anchor in anchors:
            self.context.emit("BaselineAnchored", *anchor)

    def anchor_readings(self, sender: str, interval: int, root: bytes, count: int) -> None:
        self._require_oracle(sender)
        self._require_interval(interval)
        self._require_over(interval)
        self.context.emit("ReadingsAnchored", interval, root, count)

    def announce_reading(self, sender: str, reading: tuple[Any, ...], signature: bytes) -> None:
        given = Reading(*reading)
        place = (given.nanogrid, given.interval)
        self._require_interval(given.interval)
        self._require_over(given.interval)
        if self.context.now > self.calendar.reading_deadline(given.interval):
            raise Refused("AnnouncedTooLate", *place)
        if place in self.announced:
            raise Refused("ReadingAlreadyAnnounced", *place)
        self._require_gateway(given, signature)
        self.announced[place] = Announcement(given, self.context.now)
        self.context.emit("ReadingAnnounced", *reading, sender)

    def annul_readings(
        self,
        sender: str,
        first: tuple[Any, ...],
        first_signature: bytes,
        second: tuple[Any, ...],
        second_signature: bytes,
    ) -> None:
        one, other = Reading(*first), Reading(*second)
        place = (one.nanogrid, one.interval)
        if (other.nanogrid, other.interval) != place:
            raise Refused("ReadingsOfDifferentIntervals")
        energies = [(given.active_energy_wh, given.reactive_energy_varh) for given in (one, other)]
        if energies[0] == energies[1]:
            raise Refused("ReadingsAgree", *place)
        self._require_gateway(one, first_signature)
        self._require_gateway(other, second_signature)
        self.annulled.add(place)
        self.context.emit("ReadingsAnnulled", *place, sender)
        self.settlement.unseat(one.nanogrid)

    def _require_oracle(self, sender: str) -> None:
        if not self.registry.has_role(ORACLE, sender):
            raise Refused("NotOracle", sender)

    def _require_gateway(self, given: Reading, signature: bytes) -> None:
        signer = self.context.gateway_signer(given, signature)
        if signer is None or signer != self.settlement.gateways.get(given.nanogrid):
            raise Refused("BadReadingSignature", given.nanogrid, given.interval)

    def _require_interval(self, interval: int) -> None:
        if not self.calendar.is_interval(interval):
            raise Refused("NotAnInterval", interval)

    def _require_over(self, interval: int) -> None:
        if self.context.now < self.calendar.end_of(interval):
            raise Refused("IntervalNotOver", interval)
