"""Figures of single steps: registration, decisions, kinds of bids, the SELL side, verdicts, holds, money, expiry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Final

from web3.contract import Contract

from market.domain.merit_order import clear_greedy
from market.domain.messages import Delegation
from market.domain.products import Side
from market.domain.records import BidRecord, PostedBid, WireBid
from market.domain.signing import address_of
from market.domain.units import MAX_PASSED_OVER
from scripts.bench.figures import Row
from scripts.bench.gas.auction import BATCH, Auction, open_auction
from scripts.bench.gas.bids import clearing_with, random_bids
from scripts.bench.gas.scene import (
    BOND_UEUR,
    COVER_CENTS,
    LARGEST_QUANTITY_WH,
    NODE,
    RATED_POWER_W,
    Portfolio,
    delegate_key,
    gateway_key,
    owner_key,
    p256_gateway,
)
from scripts.bench.gas.settling import Settling, withdraw
from scripts.bench.gas.sizes import PASSED_OVER, Study, gas_of, settled_whole

REJECTED_SHARE: Final = 0.1
_NEWCOMER: Final = 30_000
"""Index of an owner whom no portfolio has, and number of the portfolio for it."""
_DAY_S: Final = 86_400


def registration_rows(study: Study) -> Iterator[Row]:
    """A nanogrid's registration, step by step."""
    scene, portfolio = study.scene, Portfolio(_NEWCOMER, 1)
    nanogrid, owner = portfolio.nanogrid(0), address_of(owner_key(_NEWCOMER))
    steps: dict[str, tuple[Contract, str, tuple[Any, ...]]] = {
        "register_portfolio": (
            scene.registry,
            "registerPortfolio",
            (_NEWCOMER, NODE, scene.aggregator.address, "newcomers"),
        ),
        "register_seat": (
            scene.registry,
            "registerSeat",
            (_NEWCOMER, owner, RATED_POWER_W, 300_000, scene.node.now() + _DAY_S),
        ),
        "fund_bond": (scene.settlement, "fundBond", (nanogrid, BOND_UEUR)),
        "set_gateway": (scene.settlement, "setGateway", (nanogrid, address_of(gateway_key(nanogrid)))),
    }
    for name, (contract, call, arguments) in steps.items():
        sent = scene.node.send(scene.operator, contract, call, *arguments)
        yield study.row(f"gas_{name}", 1, sent.gas)


def decision_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """What opens an auction: each decision signed by who takes it, carried by a relayer."""
    for name, gas in study.auction(portfolio).opened.items():
        yield study.row(f"gas_{name}", 1, gas)


def posting_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """Bids alone, revised and withdrawn, in batches of the whole portfolio."""
    n, auction = portfolio.seats, study.auction(portfolio)
    records = [bid.record for bid in auction.bids]
    alone = auction.post(_signed(auction, records[:1]))
    yield study.row("gas_post_one_bid", 1, gas_of(alone), "gas", "one owner-signed bid in a transaction of its own")
    auction.post(_signed(auction, records[1:]))
    revised = [replace(record, price_ueur_kwh=record.price_ueur_kwh - 1, revision=1) for record in records]
    gas = gas_of(auction.post(_signed(auction, revised)))
    yield study.row("gas_post_per_revised_bid", n, gas / n, "gas/bid", f"a batch of {n} revisions")
    withdrawn = [replace(record, quantity=0, minimum=0, revision=2) for record in records]
    gas = gas_of(auction.post(_signed(auction, withdrawn)))
    yield study.row("gas_post_per_withdrawal", n, gas / n, "gas/bid", f"a batch of {n} withdrawals by third posts")


def delegate_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """Bids signed by delegates, and by owners beside a seated delegate."""
    n = portfolio.seats
    seated = [_seat_delegate(study, portfolio, index) for index in range(n)]
    yield study.row("gas_set_delegate", 1, seated[0], "gas", "signed by the owner, carried by a relayer")
    for name, key in (("delegate_bid", delegate_key), ("owner_bid_beside_delegate", owner_key)):
        auction = study.auction(portfolio)
        gas = gas_of(auction.post([auction.wire(bid.record, key(bid.record.index)) for bid in auction.bids]))
        yield study.row(f"gas_post_per_{name}", n, gas / n, "gas/bid", f"a batch of {n}")


def first_bid_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """Bids of seats that have not bid since they became active."""
    n, auction = portfolio.seats, study.auction(portfolio)
    yield study.row("gas_post_per_first_bid", n, gas_of(auction.post_all()) / n, "gas/bid", f"a batch of {n}")


def _seat_delegate(study: Study, portfolio: Portfolio, index: int) -> int:
    scene = study.scene
    expiry = scene.node.now() // _DAY_S + 365
    limits = (expiry, 10_000, LARGEST_QUANTITY_WH, COVER_CENTS)
    delegation = Delegation(portfolio.nanogrid(index), address_of(delegate_key(index)), *limits, 0)
    return scene.relay(scene.registry, "setDelegate", delegation, owner_key(index)).gas


def _signed(auction: Auction, records: Sequence[BidRecord]) -> list[WireBid]:
    return [auction.wire(record, owner_key(record.index)) for record in records]


def sell_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """The SELL side: INTERNAL, the seats pay from their balance and their bond."""
    n, auction = portfolio.seats, study.auction(portfolio, Side.SELL)
    yield study.row("gas_sell_open_offer", 1, auction.opened["open_offer"])
    yield study.row("gas_sell_post_per_bid", n, gas_of(auction.post_all()) / n, "gas/bid", f"a batch of {n}")
    yield study.row("gas_sell_clear", n, gas_of(auction.clear()), "gas", f"{len(auction.awards)} awards")
    yield study.row("gas_sell_finalise", n, auction.finalise().gas, "gas", f"{len(auction.awards)} awards")
    count = len(auction.awards)
    gas = gas_of(Settling(auction).settle(range(count)))
    yield study.row("gas_sell_settle_per_award", n, gas / count, "gas/award", f"{count} awards at once, all delivered")


def claim_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """What the size of a claim costs: nobody passed over, and as many as may be."""
    n = portfolio.seats
    for passed_over, indivisible in ((0, False), (MAX_PASSED_OVER, True)):
        bids = random_bids(n, study.seed, indivisible=indivisible)
        clearing = clearing_with(bids, Side.BUY, passed_over, study.seed)
        if passed_over:  # one Wh is left after the best half: no bid can have it
            clearing = clear_greedy(_sum_of_better_half(bids) + 1, Side.BUY, bids)
        auction = open_auction(study.scene, portfolio, bids, clearing)
        auction.post_all()
        note = f"{len(clearing.passed_over)} ranks passed over, {len(clearing.awards)} awards"
        yield study.row(f"gas_clear_passing_over_{passed_over}", n, gas_of(auction.clear()), "gas", note)


def revision_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """What revisions cost all others: posting reads more words, and clearing looks up who has posted last.

    One beside n bids, and so many that they are a twentieth of n.
    """
    n = portfolio.seats
    for suffix, bidders, revisions in (("a_revision", n, 1), ("a_twentieth_revised", n - n // 20, n // 20)):
        bids = _revised(random_bids(bidders, study.seed), revisions)
        auction = open_auction(study.scene, portfolio, bids, clearing_with(bids, Side.BUY, PASSED_OVER, study.seed))
        posted, cleared = gas_of(auction.post_all()), gas_of(auction.clear())
        awards, passed_over = len(auction.awards), len(auction.clearing.passed_over)
        note = f"{bidders} bids and {revisions} of them revised, {awards} awards, {passed_over} passed over"
        yield study.row(f"gas_clear_with_{suffix}", n, cleared, "gas", note)
        both = (posted + cleared) / n
        yield study.row(f"gas_post_and_clear_per_bid_with_{suffix}", n, both, "gas/bid", f"batches of {BATCH}; {note}")


def _revised(bids: Sequence[PostedBid], revisions: int) -> list[PostedBid]:
    """The bids, and after them the first of them once more, each a little dearer."""
    again = [replace(bid.record, price_ueur_kwh=bid.record.price_ueur_kwh + 1, revision=1) for bid in bids[:revisions]]
    return [*bids, *(PostedBid(record, len(bids) + place) for place, record in enumerate(again))]


def _sum_of_better_half(bids: Sequence[PostedBid]) -> int:
    ranked = sorted(bids, key=lambda bid: bid.rank(Side.BUY))
    return sum(bid.record.quantity for bid in ranked[: len(ranked) // 2])


def verdict_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """The DSO accepts, or rejects a tenth of the awards and the offer is cleared again."""
    n, accepted = portfolio.seats, study.auction(portfolio)
    accepted.post_all()
    accepted.clear()
    yield study.row("gas_verdict_accepting", n, accepted.give_verdict(frozenset()).gas)
    auction = study.auction(portfolio)
    auction.post_all()
    auction.clear()
    positions = [award.position for award in auction.awards]
    count = max(1, int(len(positions) * REJECTED_SHARE))
    rejected = frozenset(Random(f"{study.seed} rejected {n}").sample(positions, count))
    note = f"{count} of {len(positions)} awards rejected"
    yield study.row("gas_verdict_rejecting", n, auction.give_verdict(rejected).gas, "gas", note)
    again = clear_greedy(auction.offer.quantity, Side.BUY, auction.bids, rejected)
    yield study.row("gas_clear_again", n, gas_of(auction.clear(again, rejected)), "gas", note)
    yield study.row("gas_finalise_cleared_again", n, auction.finalise().gas, "gas", note)


def settling_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """The same awards settled for the first time, later, and with penalties. The portfolio was never settled before."""
    n = portfolio.seats
    cases = {
        "gas_settle_per_award_first_credit": (1.0, "the seats were never credited before"),
        "gas_settle_per_award_later_credit": (1.0, "the seats have a balance"),
        "gas_settle_per_award_with_penalty": (0.5, "half delivered, penalties from the bonds"),
    }
    for figure, (delivered, note) in cases.items():
        gas = gas_of(settled_whole(study, portfolio, delivered))
        yield study.row(figure, n, gas / n, "gas/award", f"{n} awards of {n} seats; {note}")


def p256_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """The same where each gateway has a P-256 key, which takes the place of the one before."""
    n, scene = portfolio.seats, study.scene
    for nanogrid in map(portfolio.nanogrid, range(n)):
        scene.node.send(scene.operator, scene.settlement, "setGateway", nanogrid, p256_gateway(nanogrid).address)
    gas = gas_of(settled_whole(study, portfolio, gateway_of=p256_gateway))
    note = f"{n} awards of {n} seats; signed with P-256 keys; the seats have a balance"
    yield study.row("gas_settle_per_award_p256", n, gas / n, "gas/award", note)


def half_awarded_rows(study: Study, portfolio: Portfolio, count: int) -> Iterator[Row]:
    """Settlement where only half of the seats have an award, and the whole baseline vector comes with each batch."""
    settling = Settling(_finalised(study, portfolio))
    gas = gas_of(settling.settle(range(count)))
    note = f"{count} awards in a portfolio of {portfolio.seats} seats, batches of up to 200"
    yield study.row("gas_settle_per_award_half_awarded", count, gas / count, "gas/award", note)


def hold_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """Holds of the aggregator, dismissed and upheld."""
    settling = Settling(_finalised(study, portfolio))
    placed = [settling.place_hold(ordinal).gas for ordinal in (0, 1)]
    note = f"one of {len(settling.auction.awards)} awards"
    yield study.row("gas_place_hold", portfolio.seats, placed[0], "gas", note)
    yield study.row("gas_dismiss_hold", portfolio.seats, settling.decide_hold(0, upheld=False).gas, "gas", note)
    yield study.row("gas_uphold_hold", portfolio.seats, settling.decide_hold(1, upheld=True).gas, "gas", note)


def expiry_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """Awards without a reading until the deadline."""
    settling = Settling(_finalised(study, portfolio))
    count = len(settling.auction.awards)
    gas = settling.expire(range(count)).gas
    note = f"{count} awards at once, penalties charged"
    yield study.row("gas_expire_per_award", portfolio.seats, gas / count, "gas/award", note)


def money_rows(study: Study, portfolio: Portfolio) -> Iterator[Row]:
    """Withdrawals: an account's, signed and carried; a seat's, which anyone may trigger."""
    scene = study.scene
    yield study.row("gas_withdraw", 1, withdraw(scene, 1_000_000).gas, "gas", "an aggregator's, carried by a relayer")
    paid = scene.node.send(scene.anyone, scene.settlement, "payOut", portfolio.nanogrid(1))
    yield study.row("gas_pay_out", 1, paid.gas, "gas", "a seat's balance, to an owner without tokens")


def _finalised(study: Study, portfolio: Portfolio) -> Auction:
    auction = study.auction(portfolio)
    auction.post_all()
    auction.clear()
    auction.finalise()
    return auction
