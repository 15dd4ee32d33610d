"""The merit order: the greedy reference by sorting, the claim about its result, and the curve for people.

The check of a claim in one pass over the posting order, as the contract does it, is in `claim_check`.
Quantities in Wh (varh), prices in micro-euro per kWh (kvarh). Source: docs/protocol.md, "Merit order".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from market.domain.products import Side
from market.domain.records import AwardRecord, PostedBid, price_of_rank
from market.domain.units import MAX_PASSED_OVER, NO_MARGINAL


@dataclass(frozen=True, slots=True)
class Clearing:
    """Result of an auction.

    awards: in posting order; marginal: rank of the bid at which the clearing ended (NO_MARGINAL when every bid that
    counts was reached without exhausting the quantity); marginal_quantity: what that bid is awarded [Wh or varh];
    passed_over: increasing ranks; left: quantity that nobody was awarded [Wh or varh].
    """

    side: Side
    quantity: int
    awards: tuple[AwardRecord, ...]
    marginal: int
    marginal_quantity: int
    passed_over: tuple[int, ...]
    left: int

    @property
    def awarded(self) -> int:
        """Sum of the awards [Wh or varh]."""
        return self.quantity - self.left

    @property
    def marginal_price_ueur_kwh(self) -> int | None:
        """Price of the worst bid that won; None without awards."""
        if not self.awards:
            return None
        prices = [award.price_ueur_kwh for award in self.awards]
        return max(prices) if self.side is Side.BUY else min(prices)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a caller of `clear` claims: marginal rank, what the marginal bid is awarded, ranks passed over."""

    marginal: int
    marginal_quantity: int
    passed_over: tuple[int, ...] = ()


def posts_by_index(bids: Sequence[PostedBid]) -> Counter[int]:
    """How often each nanogrid index posted in the offer."""
    return Counter(bid.record.index for bid in bids)


def counting_bids(bids: Sequence[PostedBid], rejected: Collection[int] = frozenset()) -> list[PostedBid]:
    """Bids that count, in posting order: the last one of their nanogrid, not withdrawn, not rejected by the verdict."""
    posts = posts_by_index(bids)
    return [
        bid
        for bid in bids
        if bid.record.revision == posts[bid.record.index] - 1
        and not bid.record.is_withdrawal
        and bid.position not in rejected
    ]


def clear_greedy(
    quantity: int,
    side: Side,
    bids: Sequence[PostedBid],
    rejected: Collection[int] = frozenset(),
) -> Clearing:
    """The reference: goes through the bids that count from the best rank on.

    quantity: of the offer [Wh or varh]; bids: all accepted posts in posting order; rejected: positions.
    A bid that fits wins whole; else it wins what is left if its minimum allows, and that ends it; else it is passed
    over. After 16 passed over, the next one that would have to be ends the clearing and is named as marginal with 0.
    """
    left = quantity
    awards: list[AwardRecord] = []
    passed_over: list[int] = []
    marginal, marginal_quantity = NO_MARGINAL, 0
    for bid in sorted(counting_bids(bids, rejected), key=lambda bid: bid.rank(side)):
        given = min(bid.record.quantity, left)
        if given == bid.record.quantity or given >= bid.record.least:
            awards.append(bid.award(given))
            left -= given
            if left == 0:
                marginal, marginal_quantity = bid.rank(side), given
                break
        elif len(passed_over) == MAX_PASSED_OVER:
            marginal = bid.rank(side)
            break
        else:
            passed_over.append(bid.rank(side))
    awards.sort(key=lambda award: award.position)
    return Clearing(
        side,
        quantity,
        tuple(awards),
        marginal,
        marginal_quantity,
        tuple(passed_over),
        left,
    )


def claim_of(clearing: Clearing) -> Claim:
    """The canonical claim about a clearing."""
    return Claim(clearing.marginal, clearing.marginal_quantity, clearing.passed_over)


def without_rejected(awards: Sequence[AwardRecord], rejected: Collection[int]) -> tuple[AwardRecord, ...]:
    """Awards that stand after a verdict that nobody cleared again."""
    return tuple(award for award in awards if award.position not in rejected)


@dataclass(frozen=True, slots=True)
class CurveStep:
    """One bid on the merit-order curve: it spans [start, start + quantity) on the axis of quantity [Wh or varh]."""

    position: int
    index: int
    price_ueur_kwh: int
    quantity: int
    minimum: int
    reserved: bool
    start: int
    awarded: int
    passed_over: bool
    rejected: bool


@dataclass(frozen=True, slots=True)
class MeritCurve:
    """Merit-order curve of an auction: steps by rank, the limit price, the quantity asked and the cut (awarded)."""

    side: Side
    quantity: int
    limit_price_ueur_kwh: int
    steps: tuple[CurveStep, ...]
    marginal_price_ueur_kwh: int | None
    cut_quantity: int


def merit_curve(
    quantity: int,
    side: Side,
    limit_price_ueur_kwh: int,
    bids: Sequence[PostedBid],
    rejected: Collection[int] = frozenset(),
) -> MeritCurve:
    """The curve for people, of the clearing of `bids`; rejected bids stay visible and are marked."""
    clearing = clear_greedy(quantity, side, bids, rejected)
    awarded = {award.position: award.quantity for award in clearing.awards}
    passed_over = frozenset(clearing.passed_over)
    steps, start = [], 0
    for bid in sorted(counting_bids(bids), key=lambda bid: bid.rank(side)):
        record = bid.record
        steps.append(
            CurveStep(
                position=bid.position,
                index=record.index,
                price_ueur_kwh=price_of_rank(bid.rank(side), side),
                quantity=record.quantity,
                minimum=record.minimum,
                reserved=record.reserved,
                start=start,
                awarded=awarded.get(bid.position, 0),
                passed_over=bid.rank(side) in passed_over,
                rejected=bid.position in rejected,
            )
        )
        start += record.quantity
    return MeritCurve(
        side,
        quantity,
        limit_price_ueur_kwh,
        tuple(steps),
        clearing.marginal_price_ueur_kwh,
        clearing.awarded,
    )
