"""Settlement on the node: readings in batches, one award alone, holds, expiry.

This module alone knows how settlement is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from market.domain.messages import Hold, Reading, Withdrawal
from market.domain.products import Direction
from market.domain.records import AwardRecord
from market.domain.trees import AwardLeaf, award_leaves, baseline_leaf, baseline_vector
from scripts.bench.gas.auction import BASELINE_WH, Auction
from scripts.bench.gas.node import GasBenchError, Sent, batches
from scripts.bench.gas.scene import Scene, U, gateway_key

BATCH: Final = 200
_PER_LEAF: Final = 8
_SEQUENCE: Final = 1


class Settling:
    """The settlement of one auction's awards, once its interval is over."""

    def __init__(self, auction: Auction) -> None:
        self.auction, self.scene = auction, auction.scene
        self.leaves = award_leaves(auction.awards)
        self.baselines = [BASELINE_WH] * auction.portfolio.seats

    def settle(self, ordinals: Sequence[int], batch: int = BATCH, delivered: float = 1.0) -> list[Sent]:
        """The oracle submits readings of awards. delivered: the share of each award that was delivered."""
        self._after_interval()
        return [self._settle_batch(part, delivered) for part in batches(ordinals, batch)]

    def announce(self, ordinal: int) -> Sent:
        """Anybody announces a reading."""
        self._after_interval()
        reading = self._reading(self.auction.awards[ordinal], 1.0)
        signature = self._signature(reading)
        call = ("announceReading", reading.arguments(), signature[:32], signature[32:])
        return self.scene.node.send(self.scene.anyone, self.scene.metering, *call)

    def settle_announced(self, ordinal: int) -> Sent:
        """Anybody settles one announced award with its proofs, at the end of its hold window."""
        now = self.scene.node.now()
        self.scene.node.at(now + self.scene.parameters.hold_window_s)
        award = self.auction.awards[ordinal]
        baseline = baseline_leaf(self.baselines, award.index)
        given = (baseline.leaf_index, baseline.values, list(baseline.proof))
        sent = self.scene.node.send(
            self.scene.anyone,
            self.scene.settlement,
            "settleOne",
            self.auction.id,
            given,
            _leaf(self.leaves[ordinal // _PER_LEAF]),
            self._entry(ordinal, 0, 1.0),
        )
        self._require_settled([ordinal])
        return sent

    def place_hold(self, ordinal: int) -> Sent:
        """The aggregator holds an award."""
        hold = Hold(self.auction.id, ordinal, bytes(32))
        signature = self.scene.sign(self.scene.aggregator.key, hold).to_bytes()
        leaf = _leaf(self.leaves[ordinal // _PER_LEAF])
        call = ("placeHold", hold.arguments(), leaf, signature)
        return self.scene.node.send(self.scene.relayer, self.scene.settlement, *call)

    def decide_hold(self, ordinal: int, *, upheld: bool) -> Sent:
        """The referee decides."""
        call = ("decideHold", self.auction.id, ordinal, upheld)
        return self.scene.node.send(self.scene.referee, self.scene.settlement, *call)

    def expire(self, ordinals: Sequence[int]) -> Sent:
        """Anybody ends awards without a reading after the deadline: whole leaves of them."""
        deadline = self.auction.offer.interval + self.scene.parameters.reading_deadline_s
        self.scene.node.at(max(deadline, self.scene.node.now()))
        leaves = [_leaf(self.leaves[number]) for number in _numbers(ordinals)]
        sent = self.scene.node.send(self.scene.anyone, self.scene.settlement, "expireAwards", self.auction.id, leaves)
        self._require_settled(ordinals)
        return sent

    def _settle_batch(self, ordinals: Sequence[int], delivered: float) -> Sent:
        numbers = _numbers(ordinals)
        entries = [self._entry(ordinal, numbers.index(ordinal // _PER_LEAF), delivered) for ordinal in ordinals]
        sent = self.scene.node.send(
            self.scene.oracle,
            self.scene.settlement,
            "settle",
            self.auction.id,
            baseline_vector(self.baselines),
            [_leaf(self.leaves[number]) for number in numbers],
            entries,
        )
        self._require_settled(ordinals)
        return sent

    def _entry(self, ordinal: int, leaf: int, delivered: float) -> tuple[Any, ...]:
        reading = self._reading(self.auction.awards[ordinal], delivered)
        signature = self._signature(reading)
        place = (leaf, ordinal % _PER_LEAF)
        return (*place, reading.active_energy_wh, 0, reading.sequence, signature[:32], signature[32:])

    def _reading(self, award: AwardRecord, delivered: float) -> Reading:
        sign = Direction(self.auction.offer.direction).sign
        metered = self.baselines[award.index] - int(award.quantity * delivered) * sign
        return Reading(self.auction.portfolio.nanogrid(award.index), self.auction.offer.interval, metered, 0, _SEQUENCE)

    def _signature(self, reading: Reading) -> bytes:
        return self.scene.sign(gateway_key(reading.nanogrid), reading).compact()

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


def _numbers(ordinals: Sequence[int]) -> list[int]:
    return sorted({ordinal // _PER_LEAF for ordinal in ordinals})


def _leaf(leaf: AwardLeaf) -> tuple[Any, ...]:
    return leaf.leaf_index, leaf.awards, list(leaf.proof)
