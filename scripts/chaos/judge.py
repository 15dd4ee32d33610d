"""The verdict on a run: what was lost, what was doubled, what cannot be accounted for. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from market.store.work import OutboxState
from scripts.chaos.evidence import ChaosEvidence, final_awards, posted_bids, skipped_bids, taken_back_by_red
from scripts.demo.checker.verdict import check


@dataclass(frozen=True)
class Verdict:
    """lost, doubled, unaccounted: sentences, one for each thing; none of them where all is well."""

    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    unaccounted: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not (self.lost or self.doubled or self.unaccounted)


def judge(evidence: ChaosEvidence) -> Verdict:
    """Everything that the evidence holds against the run."""
    lost = (*_lost_bids(evidence), *_lost_readings(evidence), *_lost_awards(evidence))
    doubled = (*_doubled_readings(evidence), *_doubled_awards(evidence))
    money = [f"{name}: {finding}" for name, found in check(evidence.chain).items() for finding in found]
    differing = [
        f"table {table}: {len(rows)} rows differ between the live database and the rebuilt one, such as {rows[0]}"
        for table, rows in evidence.differing.items()
    ]
    return Verdict(lost, doubled, (*money, *differing))


def _lost_bids(evidence: ChaosEvidence) -> Iterator[str]:
    """Every bid with a receipt is on the chain, was skipped by it, or has a signed refusal, and not two of them."""
    posted, skipped = posted_bids(evidence.chain), skipped_bids(evidence.chain)
    for promise in evidence.told.promises:
        content = (
            promise.offer, promise.nanogrid, promise.revision, promise.price_ueur_kwh, promise.quantity, promise.minimum
        )  # fmt: skip
        state, is_refused = evidence.kept.reasons.get(promise.digest, ("none", False))
        if content in posted:
            if is_refused:
                yield f"bid {promise.digest} is on the chain, and the relayer has signed that it is not"
        elif content not in skipped and not is_refused:
            yield f"bid {promise.digest} has a receipt, is not on the chain, and its state is {state}"


def _lost_readings(evidence: ChaosEvidence) -> Iterator[str]:
    """Every reading with a receipt is stored."""
    stored = set(evidence.kept.readings)
    for nanogrid, interval, digest in evidence.told.readings:
        if (nanogrid, interval, digest) not in stored:
            yield f"reading {digest} of nanogrid {nanogrid}, interval {interval}, has a receipt and is not stored"


def _lost_awards(evidence: ChaosEvidence) -> Iterator[str]:
    """Every final award was dispatched, or it is on record that it was not: by the oracle, or as the chain has it that
    the node was RED before the interval, which revokes them."""
    revoked = taken_back_by_red(evidence.chain)
    for offer, ordinal in final_awards(evidence.chain):
        states = evidence.kept.dispatches.get((offer, ordinal))
        if states is None:
            if offer not in revoked:
                yield f"award {ordinal} of offer {offer} has no dispatch"
        elif OutboxState.NEW in states:
            yield f"award {ordinal} of offer {offer} was written down for dispatch, and neither sent nor given up"


def _doubled_readings(evidence: ChaosEvidence) -> Iterator[str]:
    times = Counter((nanogrid, interval) for nanogrid, interval, _ in evidence.kept.readings)
    for (nanogrid, interval), count in times.items():
        if count > 1:
            yield f"nanogrid {nanogrid} has {count} readings of interval {interval}"


def _doubled_awards(evidence: ChaosEvidence) -> Iterator[str]:
    """No award is begun twice: one beginning for each award, at the gateway that carries it out."""
    for award, states in evidence.kept.dispatches.items():
        if len(states) > 1:
            yield f"award {award[1]} of offer {award[0]} has {len(states)} dispatches"
    for (offer, nanogrid), count in Counter(evidence.told.begun).items():
        if count > 1:
            yield f"nanogrid {nanogrid} has begun offer {offer} {count} times"
