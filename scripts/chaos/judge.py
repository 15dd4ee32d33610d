"""The verdict on a run: what was lost, what was doubled, what cannot be accounted for. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from market.store.facts import BidState
from scripts.chaos.evidence import ChaosEvidence, final_awards, posted_bids
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
    """Every bid with a receipt is on the chain, was skipped by the chain, or has a signed refusal."""
    posted = posted_bids(evidence.chain)
    for promise in evidence.told.promises:
        content = (
            promise.offer, promise.nanogrid, promise.revision, promise.price_ueur_kwh, promise.quantity, promise.minimum
        )  # fmt: skip
        if content in posted:
            continue
        state, is_signed = evidence.kept.reasons.get(promise.digest, ("none", False))
        if state == BidState.SKIPPED or (state == BidState.LATE and is_signed):
            continue
        yield f"bid {promise.digest} has a receipt, is not on the chain, and its state is {state}"


def _lost_readings(evidence: ChaosEvidence) -> Iterator[str]:
    """Every reading with a receipt is stored."""
    stored = set(evidence.kept.readings)
    for nanogrid, interval, digest in evidence.told.readings:
        if (nanogrid, interval, digest) not in stored:
            yield f"reading {digest} of nanogrid {nanogrid}, interval {interval}, has a receipt and is not stored"


def _lost_awards(evidence: ChaosEvidence) -> Iterator[str]:
    """Every final award has a dispatch, with what became of it."""
    for award in final_awards(evidence.chain):
        if award not in evidence.kept.dispatches:
            yield f"award {award[1]} of offer {award[0]} has no dispatch"


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
