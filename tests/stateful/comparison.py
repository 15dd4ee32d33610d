"""Compares everything that the contracts hold with the model, in one exchange with the node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from market.domain.states import OfferStatus
from market.domain.trees import award_root
from tests.stateful.actors import BY_ADDRESS, EVERYBODY, HOLDERS_OF_MONEY
from tests.stateful.contracts import plain
from tests.stateful.model.auction import OfferBook
from tests.stateful.model.refusal import ZERO_ADDRESS
from tests.stateful.player import Player

Fact = tuple[str, str, tuple[Any, ...], tuple[Any, ...]]
"""Contract, reader, its arguments, and what it should return."""


def compare_totals(player: Player) -> None:
    """Tokens held cover all that is owed, which is the sum of the model's books."""
    settlement = player.deployment.addresses["Settlement"]
    (owed,), (held,) = player.read([("Settlement", "totalOwed", ()), ("SettlementToken", "balanceOf", (settlement,))])
    assert owed == player.model.settlement.ledger.owed
    assert held == player.model.token.balances[settlement]
    assert held >= owed


def compare_everything(player: Player) -> None:
    """Every balance, bond, debt, escrow, seat and offer is the model's."""
    facts = [*_money(player), *_seats(player), *_offers(player), *_signals(player)]
    answers = player.read([fact[:3] for fact in facts])
    for (contract, reader, arguments, expected), answer in zip(facts, answers, strict=True):
        assert answer == plain(expected), f"{contract}.{reader}{arguments} is {answer}, not {expected}"


def _money(player: Player) -> Iterator[Fact]:
    ledger, token = player.model.settlement.ledger, player.model.token
    for address in {each.address for each in EVERYBODY}:
        account = ledger.accounts[address]
        yield "Settlement", "balanceOf", (address,), (account.balance,)
        yield "Settlement", "debtOf", (address,), (account.debt,)
        yield "Settlement", "nonceOf", (address,), (account.nonce,)
    for holder in HOLDERS_OF_MONEY:
        yield "SettlementToken", "balanceOf", (holder.address,), (token.balances[holder.address],)
    for id_, amount in ledger.escrows.items():
        yield "Settlement", "escrowOf", (id_,), (amount,)
    for nanogrid in player.model.registry.seats:
        bond = ledger.bonds[nanogrid]
        yield "Settlement", "seatBalance", (nanogrid,), (ledger.seats[nanogrid],)
        yield "Settlement", "seatDebt", (nanogrid,), (ledger.seat_debt(nanogrid),)
        yield "Settlement", "bondOf", (nanogrid,), (bond.amount, bond.unbonding, bond.available_at)
        yield "Settlement", "unbondingNonce", (nanogrid,), (bond.nonce,)


def _seats(player: Player) -> Iterator[Fact]:
    model = player.model
    for nanogrid, seat in model.registry.seats.items():
        terms = (seat.owner, seat.active_from, seat.active_until, seat.rated_power_w)
        limits = (seat.emergency_price, seat.cover_cents, seat.suspended)
        yield "ParticipantRegistry", "seatOf", (nanogrid,), ((*terms, *limits),)
        yield "ParticipantRegistry", "signerOf", (nanogrid,), (seat.signer.limits(),)
        yield "ParticipantRegistry", "ownerNonce", (nanogrid,), (seat.owner_nonce,)
        yield "ParticipantRegistry", "announcedTransferOf", (nanogrid,), seat.announced
        gateway = model.settlement.gateways.get(nanogrid, ZERO_ADDRESS)
        yield "Settlement", "gatewayOf", (nanogrid,), (gateway,)
    for portfolio, seats in model.registry.portfolios.items():
        shown = (seats.node, seats.seat_count, seats.rated_power_w, seats.aggregator)
        yield "ParticipantRegistry", "portfolioOf", (portfolio,), (shown,)
    for role, holder in model.registry.roles:
        if holder in BY_ADDRESS:
            yield "ParticipantRegistry", "hasRole", (role, holder), (True,)


def _offers(player: Player) -> Iterator[Fact]:
    auction, awards = player.model.auction, player.model.settlement
    for id_, request in auction.requests.items():
        for interval, available in request.available.items():
            yield "MeritOrderAuction", "availableOf", (id_, interval), (available,)
    for id_, book in auction.offers.items():
        yield "MeritOrderAuction", "stateOf", (id_,), (_state_of(book),)
        yield "MeritOrderAuction", "pendingOffer", book.session, (auction.pending.get(book.session, bytes(32)),)
        if book.status in (OfferStatus.CLEARED, OfferStatus.OPEN):
            yield "MeritOrderAuction", "finalAt", (id_,), (auction.final_at(book),)
        for index, posts in book.posts.items():
            yield "MeritOrderAuction", "postsOf", (id_, index), (posts,)
    for nanogrid, interval, kind in auction.winners:
        yield "MeritOrderAuction", "hasWon", (nanogrid, interval, kind), (True,)
    for place, outcome in awards.settled.items():
        yield "Settlement", "isSettled", place, (bool(outcome),)
    for place, hold in awards.holds.items():
        shown = (ZERO_ADDRESS, 0) if hold.ended_at else (hold.holder, hold.decide_by)
        yield "Settlement", "holdOf", place, shown


def _state_of(book: OfferBook) -> tuple[Any, ...]:
    counts = (len(book.bids), len(book.awards))
    highest_revision = max(book.posts.values(), default=1) - 1
    money = (book.escrow, highest_revision, book.sold_before, book.aggregator, book.cleared_again)
    return (book.status, *counts, book.opened_at, book.cleared_at, *money, book.chain, award_root(book.awards))


def _signals(player: Player) -> Iterator[Fact]:
    for (node, interval), light in player.model.signals.lights.items():
        yield "GridSignals", "phaseOf", (node, interval), (light.phase,)
        yield "GridSignals", "redSince", (node, interval), (light.red_since,)
    for place, anchor in player.model.metering.baselines.items():
        yield "MeteringOracle", "baselineOf", place, (anchor.root, anchor.anchored_at, anchor.count)
    for place in player.model.metering.annulled:
        yield "MeteringOracle", "isAnnulled", place, (True,)
