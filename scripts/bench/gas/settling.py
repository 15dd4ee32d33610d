"""Settlement on the node: readings in batches, one award alone, holds, expiry.

This module alone knows how settlement is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from market.domain.gateway_key import GatewayKey
from market.domain.messages import Hold, Reading, Withdrawal
from market.domain.products import Direction
from market.domain.records import AwardRecord
from market.domain.settled_records import ANNOUNCED, SettlementReading, pack_readings
from market.domain.settlement_batches import batches as full_batches
from market.domain.settlement_batches import load_of_reading, settling
from market.domain.trees import award_proof, award_range, baseline_leaf, baseline_vector
from scripts.bench.gas.auction import BASELINE_WH, Auction
from scripts.bench.gas.node import GasBenchError, Sent, batches
from scripts.bench.gas.scene import Scene, U, gateway_key

BATCH: Final = 200
_SEQUENCE: Final = 1


def gateway(nanogrid: int) -> GatewayKey:
    """The gateway that each nanogrid has unless it is said otherwise, with a secp256k1 key."""
    return GatewayKey.of(gateway_key(nanogrid))


class Settling:
    """The settlement of one auction's awards, once its interval is over."""

    def __init__(self, auction: Auction, gateway_of: Callable[[int], GatewayKey] = gateway) -> None:
        self.auction, self.scene, self._gateway_of = auction, auction.scene, gateway_of
        self.baselines = [BASELINE_WH] * auction.portfolio.seats

    def settle(self, ordinals: Sequence[int], batch: int = BATCH, delivered: float = 1.0) -> list[Sent]:
        """The oracle submits readings of awards. delivered: the share of each award that was delivered."""
        self._after_interval()
        return [self._settle_batch(part, delivered) for part in batches(ordinals, batch)]

    def settle_full(self, ordinals: Sequence[int]) -> list[Sent]:
        """The same, all delivered, in batches that are as large as the oracle makes them."""
        self._after_interval()
        loads = [load_of_reading(each, self._signed_reading(each, 1.0).signature, is_plain=True) for each in ordinals]
        return [self._settle_batch(part, 1.0) for part in full_batches(settling(len(self.baselines)), loads)]

    def announce(self, ordinal: int) -> Sent:
        """Anybody announces a reading."""
        self._after_interval()
        reading = self._reading(self.auction.awards[ordinal], 1.0)
        call = ("announceReading", reading.arguments(), self._signature(reading))
        return self.scene.node.send(self.scene.anyone, self.scene.metering, *call)

    def settle_announced(self, ordinal: int) -> Sent:
        """Anybody settles one announced award with its proofs, at the end of its hold window."""
        now = self.scene.node.now()
        self.scene.node.at(now + self.scene.parameters.hold_window_s)
        award = self.auction.awards[ordinal]
        leaf = award_range(self.auction.awards, ordinal, ordinal)
        baseline = baseline_leaf(self.baselines, award.index)
        announced = replace(self._signed_reading(ordinal, 1.0), signature=ANNOUNCED).pack_alone()
        shown = (baseline.values, leaf.awards, announced, award_proof(leaf, baseline))
        call = ("settleAward", self.auction.id, self._binding(), *shown)
        sent = self.scene.node.send(self.scene.anyone, self.scene.settlement, *call)
        self._require_settled([ordinal])
        return sent

    def place_hold(self, ordinal: int) -> Sent:
        """The aggregator holds an award."""
        hold = Hold(self.auction.id, ordinal, bytes(32))
        signature = self.scene.sign(self.scene.aggregator.key, hold).to_bytes()
        call = ("placeHold", hold.arguments(), self._range([ordinal]), signature)
        return self.scene.node.send(self.scene.relayer, self.scene.settlement, *call)

    def decide_hold(self, ordinal: int, *, upheld: bool) -> Sent:
        """The referee decides."""
        call = ("decideHold", self.auction.id, ordinal, upheld)
        return self.scene.node.send(self.scene.referee, self.scene.settlement, *call)

    def expire(self, ordinals: Sequence[int]) -> Sent:
        """Anybody ends awards without a reading after the deadline: whole leaves of them."""
        deadline = self.auction.offer.interval + self.scene.parameters.reading_deadline_s
        self.scene.node.at(max(deadline, self.scene.node.now()))
        call = ("expireAwards", self.auction.id, self._range(ordinals))
        sent = self.scene.node.send(self.scene.anyone, self.scene.settlement, *call)
        self._require_settled(ordinals)
        return sent

    def _binding(self) -> Any:
        return self.scene.settlement.functions.bindingOf(self.auction.id).call()

    def _settle_batch(self, ordinals: Sequence[int], delivered: float) -> Sent:
        readings = pack_readings(self._signed_reading(ordinal, delivered) for ordinal in ordinals)
        vector = baseline_vector(self.baselines)
        call = ("settle", self.auction.id, self._binding(), vector, self._range(ordinals), readings)
        sent = self.scene.node.send(self.scene.oracle, self.scene.settlement, *call)
        self._require_settled(ordinals)
        return sent

    def _range(self, ordinals: Sequence[int]) -> tuple[int, bytes, list[bytes]]:
        """The leaves of ascending ordinals, with their proof."""
        return award_range(self.auction.awards, ordinals[0], ordinals[-1]).argument()

    def _signed_reading(self, ordinal: int, delivered: float) -> SettlementReading:
        reading = self._reading(self.auction.awards[ordinal], delivered)
        return SettlementReading(ordinal, reading.active_energy_wh, 0, reading.sequence, self._signature(reading))

    def _reading(self, award: AwardRecord, delivered: float) -> Reading:
        sign = Direction(self.auction.offer.direction).sign
        metered = self.baselines[award.index] - int(award.quantity * delivered) * sign
        return Reading(self.auction.portfolio.nanogrid(award.index), self.auction.offer.interval, metered, 0, _SEQUENCE)

    def _signature(self, reading: Reading) -> bytes:
        return self._gateway_of(reading.nanogrid).sign_message(reading, self.scene.domain(Reading))

    def _after_interval(self) -> None:
        self.scene.node.at(max(self.auction.offer.interval + U, self.scene.node.now()))

    def _require_settled(self, ordinals: Sequence[int]) -> None:
        is_settled = self.scene.settlement.functions.isSettled
        for ordinal in (ordinals[0], ordinals[len(ordinals) // 2], ordinals[-1]):
            if not is_settled(self.auction.id, ordinal).call():
                raise GasBenchError(f"award {ordinal} of {len(self.auction.awards)} was skipped")


def withdraw(scene: Scene, amount_ueur: int) -> Sent:
    """The aggregator's signed withdrawal, carried by the relayer."""
    account = scene.aggregator.address
    nonce = scene.settlement.functions.nonceOf(account).call()
    return scene.relay(scene.settlement, "withdraw", Withdrawal(account, amount_ueur, nonce), scene.aggregator.key)
