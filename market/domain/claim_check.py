"""The check of a claim in one pass over the posting order, in chunks cut anywhere: the twin of ClaimCheck.sol.

Rules are numbered as in docs/protocol.md, "Merit order"; a chunk ends in a `Progress` like the contract's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from market.domain.errors import ClaimRefused
from market.domain.merit_order import Claim, posts_by_index
from market.domain.products import Side
from market.domain.records import EMPTY_CHAIN, AwardRecord, PostedBid, fold_chain
from market.domain.trees import Peaks, append_leaf, leaf_hash, root_of_peaks
from market.domain.units import (
    MAX_PASSED_OVER,
    NO_MARGINAL,
    RECORD_BYTES,
    RECORDS_PER_LEAF,
)

MARGINAL_SEEN = 1 << MAX_PASSED_OVER
_LEAF_BYTES = RECORD_BYTES * RECORDS_PER_LEAF


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the check stands after a chunk: the contract's `Progress`, field by field.

    better_than_passed: for each passed-over rank the sum of the whole awards better than it; seen: bit i for
    passed-over rank i, bit 16 for the marginal; minima: for each passed-over rank its least quantity, then the
    marginal's.
    """

    chain: bytes = EMPTY_CHAIN
    position: int = 0
    better: int = 0
    better_than_passed: tuple[int, ...] = ()
    seen: int = 0
    minima: tuple[int, ...] = ()
    award_count: int = 0
    pending: bytes = b""
    peaks: Peaks = ()

    def argument(self) -> tuple[object, ...]:
        """As `clear` takes it."""
        return (
            self.chain,
            self.position,
            self.better,
            self.better_than_passed,
            self.seen,
            self.minima,
            self.award_count,
            self.pending,
            self.peaks,
        )

    @property
    def awards_root(self) -> bytes:
        """Root of the awards collected so far."""
        if not self.pending:
            return root_of_peaks(self.peaks)
        full_leaves = self.award_count // RECORDS_PER_LEAF
        return root_of_peaks(append_leaf(self.peaks, full_leaves, leaf_hash(full_leaves, self.pending)))


def check_shape(claim: Claim) -> None:
    """A claim names at most 16 passed-over ranks, strictly increasing; else ClaimRefused with the contract's error."""
    if len(claim.passed_over) > MAX_PASSED_OVER:
        raise ClaimRefused("TooManyPassedOver", count=len(claim.passed_over))
    for at in range(1, len(claim.passed_over)):
        if claim.passed_over[at] <= claim.passed_over[at - 1]:
            raise ClaimRefused("PassedOverNotSorted", place=at)


def check_chunk(
    side: Side,
    claim: Claim,
    bids: Sequence[PostedBid],
    posts: Mapping[int, int],
    rejected: Collection[int] = frozenset(),
    progress: Progress | None = None,
) -> tuple[Progress, tuple[AwardRecord, ...]]:
    """One chunk of the pass.

    bids: the next posts in posting order; posts: how often each index posted in the whole offer; progress: of the
    chunk before. Returns the new progress and the awards of this chunk. Raises ClaimRefused (rule 4) where the
    marginal quantity is more than the marginal bid's own.
    """
    check_shape(claim)
    passed_count = len(claim.passed_over)
    before = progress or Progress()
    better = before.better
    better_than = list(before.better_than_passed or (0,) * passed_count)
    minima = list(before.minima or (0,) * (passed_count + 1))
    seen, awards = before.seen, []
    passed_at = {rank: at for at, rank in enumerate(claim.passed_over)}
    for bid in bids:
        record = bid.record
        counts = record.revision == posts[record.index] - 1 and not record.is_withdrawal
        if not counts or bid.position in rejected:
            continue
        rank = bid.rank(side)
        at = passed_at.get(rank)
        if at is not None:
            seen |= 1 << at
            minima[at] = record.least
        elif rank < claim.marginal:
            better += record.quantity
            better_than = [
                total + record.quantity if rank < passed else total
                for total, passed in zip(better_than, claim.passed_over, strict=True)
            ]
            awards.append(bid.award(record.quantity))
        elif rank == claim.marginal:
            if claim.marginal_quantity > record.quantity:
                raise ClaimRefused("FalseClaim", rule=4)
            seen |= MARGINAL_SEEN
            minima[passed_count] = record.least
            if claim.marginal_quantity:
                awards.append(bid.award(claim.marginal_quantity))
    advanced = replace(
        before,
        chain=fold_chain(b"".join(bid.record.pack() for bid in bids), before.chain),
        position=before.position + len(bids),
        better=better,
        better_than_passed=tuple(better_than),
        seen=seen,
        minima=tuple(minima),
    )
    return _collect(advanced, awards), tuple(awards)


def _collect(progress: Progress, awards: Sequence[AwardRecord]) -> Progress:
    pending, peaks = (
        progress.pending + b"".join(award.pack() for award in awards),
        progress.peaks,
    )
    leaves = progress.award_count // RECORDS_PER_LEAF
    while len(pending) >= _LEAF_BYTES:
        peaks = append_leaf(peaks, leaves, leaf_hash(leaves, pending[:_LEAF_BYTES]))
        pending, leaves = pending[_LEAF_BYTES:], leaves + 1
    return replace(
        progress,
        award_count=progress.award_count + len(awards),
        pending=pending,
        peaks=peaks,
    )


def broken_rule(quantity: int, claim: Claim, progress: Progress) -> int | None:
    """Number of the first rule that the claim breaks after the whole pass; None when it is right."""
    passed = claim.passed_over
    has_marginal = claim.marginal != NO_MARGINAL
    expected = (1 << len(passed)) - 1 | (MARGINAL_SEEN if has_marginal else 0)
    if progress.seen != expected or (passed and passed[-1] >= claim.marginal):
        return 1
    minima = progress.minima or (0,)
    if any(least <= quantity - better for least, better in zip(minima, progress.better_than_passed, strict=False)):
        return 2
    if progress.better > quantity:
        return 3
    left = quantity - progress.better
    if not has_marginal:
        return 6 if claim.marginal_quantity else None
    if claim.marginal_quantity:
        # A marginal bid that wins whole has minimum <= quantity, so its least quantity never refuses it.
        return None if claim.marginal_quantity == left and claim.marginal_quantity >= minima[-1] else 4
    is_seventeenth = len(passed) == MAX_PASSED_OVER and left > 0 and minima[-1] > left
    return None if is_seventeenth else 5


def check_claim(
    quantity: int,
    side: Side,
    bids: Sequence[PostedBid],
    claim: Claim,
    rejected: Collection[int] = frozenset(),
) -> tuple[AwardRecord, ...]:
    """Awards in posting order that a claim proves; raises ClaimRefused (FalseClaim with its rule) where it is wrong."""
    progress, awards = check_chunk(side, claim, bids, posts_by_index(bids), rejected)
    rule = broken_rule(quantity, claim, progress)
    if rule is not None:
        raise ClaimRefused("FalseClaim", rule=rule)
    return awards
