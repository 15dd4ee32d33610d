"""Figures that grow with the number of bids: posting, clearing, the result, settlement; ours and the alternatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from market.domain.gateway_key import GatewayKey
from market.domain.merit_order import Claim, clear_greedy
from market.domain.products import Side
from market.domain.records import PostedBid
from scripts.bench.figures import Row
from scripts.bench.gas.alternatives import Alternative, expected_hash
from scripts.bench.gas.auction import BATCH, Auction, clear_arguments, open_auction
from scripts.bench.gas.bids import clearing_with, random_bids, supply
from scripts.bench.gas.node import TRANSACTION_BYTES, TRANSACTION_GAS, GasBenchError, OutOfGas, Sent
from scripts.bench.gas.scene import Portfolio, Scene
from scripts.bench.gas.settling import BATCH as SETTLED_AT_ONCE
from scripts.bench.gas.settling import Settling, gateway

SMALL_BATCH: Final = 100
PASSED_OVER: Final = 2
_HALF: Final = "about half of the supply asked for"


@dataclass(frozen=True, slots=True)
class Study:
    """What is measured with: the scene, the seed of all random choices, and what each row says about how."""

    scene: Scene
    seed: int
    how: str

    def row(self, figure: str, n: int, value: float, unit: str = "gas", note: str = "") -> Row:
        """A row with its note."""
        return row_of(self.how, figure, n, value, unit, note)

    def auction(self, portfolio: Portfolio, side: Side = Side.BUY, passed_over: int = PASSED_OVER) -> Auction:
        """An open auction of one bid of each seat, that asks for about half of what is bid."""
        bids = random_bids(portfolio.seats, self.seed, side)
        return open_auction(self.scene, portfolio, bids, clearing_with(bids, side, passed_over, self.seed))


def row_of(how: str, figure: str, n: int, value: float, unit: str, note: str) -> Row:
    """A row with its note before what all rows say. Gas per piece is given to one decimal."""
    return Row(figure, n, round(value, 1), unit, f"{note}; {how}" if note else how)


def gas_of(sent: Sequence[Sent]) -> int:
    """Gas of some transactions together."""
    return sum(each.gas for each in sent)


def auction_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """A whole auction of N bids, posted in batches of 400, and another that is only posted, in batches of 100."""
    n = portfolio.seats
    in_small = gas_of(study.auction(portfolio).post_all(SMALL_BATCH))
    auction = study.auction(portfolio)
    posted = gas_of(auction.post_all())
    sent = auction.clear_in_few()
    cleared = gas_of(sent)
    awarded = f"{_HALF}, {len(auction.awards)} awards, {len(auction.clearing.passed_over)} ranks passed over"
    note = f"{transactions(sent)}; {awarded}"
    yield study.row("gas_post_per_bid", n, posted / n, "gas/bid", f"batches of {BATCH}")
    yield study.row("gas_post_per_bid_in_batches_of_100", n, in_small / n, "gas/bid", f"batches of {SMALL_BATCH}")
    yield study.row("gas_clear", n, cleared, "gas", note)
    yield study.row("clear_calldata_bytes", n, sum(each.calldata for each in sent), "byte", note)
    yield study.row("clear_transaction_bytes", n, sum(each.size for each in sent), "byte", f"signed; {note}")
    both, small_both = (posted + cleared) / n, (in_small + cleared) / n
    yield study.row("gas_post_and_clear_per_bid", n, both, "gas/bid", f"batches of {BATCH}; {note}")
    small_note = f"batches of {SMALL_BATCH}; {note}"
    yield study.row("gas_post_and_clear_per_bid_in_batches_of_100", n, small_both, "gas/bid", small_note)
    yield study.row("gas_finalise", n, auction.finalise().gas, "gas", awarded)
    if portfolio.with_gateways:
        yield from _alone_rows(study, auction)


def _alone_rows(study: Study, auction: Auction) -> Iterator[Row]:
    n, settling, ordinal = auction.portfolio.seats, Settling(auction), len(auction.awards) // 2
    note = f"one of {len(auction.awards)} awards, portfolio of {n} seats"
    yield study.row("gas_announce_reading", n, settling.announce(ordinal).gas, "gas", note)
    alone = settling.settle_announced(ordinal).gas
    yield study.row("gas_settle_award_alone", n, alone, "gas", f"by anyone, announced, after the hold window; {note}")


def settlement_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """N awards of N seats, each fully delivered, settled by the oracle for the first time."""
    n = portfolio.seats
    settled = gas_of(settled_whole(study, portfolio))
    note = f"batches of up to {SETTLED_AT_ONCE}, by the oracle; {n} awards in a portfolio of {n} seats, all delivered"
    yield study.row("gas_settle_per_award", n, settled / n, "gas/award", note)


def full_batch_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """The same in batches that take all that a transaction has room for."""
    n = portfolio.seats
    settling = all_awarded(study, portfolio)
    sent = settling.settle_full(range(len(settling.auction.awards)))
    note = f"full batches, by the oracle: {transactions(sent)}; {n} awards in a portfolio of {n} seats, all delivered"
    yield study.row("gas_settle_per_award_in_full_batches", n, gas_of(sent) / n, "gas/award", note)


def expiry_between_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """Two awards at the ends of an offer that expire, with all that lies between, which is judged and skipped."""
    settling = all_awarded(study, portfolio)
    last = len(settling.auction.awards) - 1
    settling.settle(range(1, last))
    gas = settling.expire([0, last]).gas / (last - 1)
    note = f"2 awards expire at the ends of {last + 1}, of which the others have ended"
    yield study.row("gas_expire_per_award_between", portfolio.seats, gas, "gas/award", note)


def settled_whole(
    study: Study, portfolio: Portfolio, delivered: float = 1.0, gateway_of: Callable[[int], GatewayKey] = gateway
) -> list[Sent]:
    """An auction that asks for all that is bid, up to its settlement."""
    settling = all_awarded(study, portfolio, gateway_of)
    return settling.settle(range(len(settling.auction.awards)), delivered=delivered)


def all_awarded(study: Study, portfolio: Portfolio, gateway_of: Callable[[int], GatewayKey] = gateway) -> Settling:
    """An auction that asks for all that is bid, up to its final result."""
    bids = random_bids(portfolio.seats, study.seed)
    auction = open_auction(study.scene, portfolio, bids, clear_greedy(supply(bids), Side.BUY, bids))
    auction.post_all()
    auction.clear()
    auction.finalise()
    return Settling(auction, gateway_of)


def chunked_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """A clearing that is too large for one transaction."""
    n, auction = portfolio.seats, study.auction(portfolio)
    posted = gas_of(auction.post_all())
    sent = auction.clear_in_few()
    note = transactions(sent)
    yield study.row("gas_post_per_bid", n, posted / n, "gas/bid", f"batches of {BATCH}")
    yield study.row("gas_clear", n, gas_of(sent), "gas", note)
    yield study.row("clear_transactions", n, len(sent), "transactions", note)
    yield study.row("gas_post_and_clear_per_bid", n, (posted + gas_of(sent)) / n, "gas/bid", note)


def transactions(sent: Sequence[Sent]) -> str:
    """How many there were, and what each took."""
    if len(sent) == 1:
        return "one transaction"
    parts = " + ".join(f"{each.gas:,} gas in {each.size:,} bytes" for each in sent)
    return f"{len(sent)} transactions: {parts}"


def largest_clearing_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """As many bids as one transaction clears: what its bytes have room for or, where gas is scarcer, a tenth less each
    time until it is enough."""
    bids = random_bids(portfolio.seats, study.seed)
    n, why = largest_count(study, bids), f"the next bid would pass {TRANSACTION_BYTES:,} bytes"
    while (cleared := _cleared_at_once(study, portfolio, bids[:n])) is None:
        n, why = n * 9 // 10, f"a tenth more would pass {TRANSACTION_GAS:,} gas"
    note = f"{cleared.gas:,} gas, {cleared.size:,} bytes signed; {why}"
    yield study.row("bids_cleared_in_one_transaction", n, n, "bids", note)


def _cleared_at_once(study: Study, portfolio: Portfolio, bids: Sequence[PostedBid]) -> Sent | None:
    auction = open_auction(study.scene, portfolio, bids, clearing_with(bids, Side.BUY, PASSED_OVER, study.seed))
    auction.post_all()
    try:
        return auction.clear()[0]
    except OutOfGas:
        return None


def largest_count(study: Study, bids: Sequence[PostedBid]) -> int:
    """How many records fit into one signed `clear`; GasBenchError when all do."""
    low, high = 1, len(bids)
    if _clear_size(study, bids) <= TRANSACTION_BYTES:
        raise GasBenchError(f"{high} bids fit into one transaction: more seats are needed to find the limit")
    while high - low > 1:
        middle = (low + high) // 2
        if _clear_size(study, bids[:middle]) <= TRANSACTION_BYTES:
            low = middle
        else:
            high = middle
    return low


def _clear_size(study: Study, bids: Sequence[PostedBid]) -> int:
    ranks = sorted(bid.rank(Side.BUY) for bid in bids)
    claim = Claim(ranks[-1], 1, tuple(ranks[:PASSED_OVER]))
    arguments = clear_arguments(b"\x11" * 32, claim, bids)
    return study.scene.node.size_of(study.scene.relayer, study.scene.auction, "clear", *arguments)


def alternative_rows(alternative: Alternative, seed: int, how: str, n: int) -> Iterator[Row]:
    """The same bids and the same quantity in another design. What no longer fits into a transaction has no row."""
    bids = random_bids(n, seed)
    clearing = clearing_with(bids, Side.BUY, PASSED_OVER, seed)
    name, offer = alternative.design.name, alternative.open(Side.BUY, clearing.quantity)
    posted = gas_of(alternative.post(offer, Side.BUY, bids, BATCH))
    yield row_of(how, f"{name}_gas_post_per_bid", n, posted / n, "gas/bid", f"batches of {BATCH}")
    try:
        cleared = alternative.clear(offer, Side.BUY, bids)
    except OutOfGas:
        return
    if alternative.awards_hash(offer) != expected_hash(clearing.awards, bids, Side.BUY):
        raise GasBenchError(f"{name}: the awards of {n} bids are not the reference's")
    yield row_of(how, f"{name}_gas_clear", n, cleared.gas, "gas", "one transaction")
    both = (posted + cleared.gas) / n
    yield row_of(how, f"{name}_gas_post_and_clear_per_bid", n, both, "gas/bid", f"batches of {BATCH}")
