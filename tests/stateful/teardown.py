"""Nothing ends stuck: with operator, oracle, referee and relayer silent, every owner gets every token out."""

from __future__ import annotations

from market.domain.messages import Unbonding, Withdrawal
from market.domain.states import OfferStatus
from market.domain.trees import award_range
from tests.stateful.actors import STRANGER
from tests.stateful.model.requests import request_escrow
from tests.stateful.player import Player
from tests.stateful.stage import PARAMETERS, U

ANYONE = STRANGER.address


def withdraw_everything(player: Player) -> None:
    """Each object takes a bounded number of calls; afterwards the contract owes and holds nothing of the market's."""
    before = player.tally.calls
    bound = _bound(player)
    player.jump(_last_interval(player))
    _end_offers(player)
    _end_holds(player)
    _wait(player, PARAMETERS.longest_settlement_s)
    _end_awards(player)
    _end_commands(player)
    _pay_debts(player)
    _empty_seats(player)
    _empty_accounts(player)
    assert player.tally.calls - before <= bound
    ledger = player.model.settlement.ledger
    assert ledger.owed == 0, "something is stuck"
    assert not any(ledger.escrows.values())


def _bound(player: Player) -> int:
    model = player.model
    requested = sum(len(request.available) for request in model.auction.requests.values())
    settlement = model.settlement
    objects = 2 * len(model.auction.offers) + requested + len(settlement.holds) + len(settlement.commands)
    return objects + 4 * len(model.registry.seats) + 3 * len(settlement.ledger.accounts)


def _last_interval(player: Player) -> int:
    """The last one that anything was opened for, and a while after now: then all gates are closed."""
    auction = player.model.auction
    opened = [book.terms.interval for book in auction.offers.values()]
    requested = [interval for request in auction.requests.values() for interval in request.available]
    return max([player.now + 6 * U, *opened, *requested])


def _wait(player: Player, span_s: int) -> None:
    player.jump(player.now + span_s)


def _end_offers(player: Player) -> None:
    for book in player.model.auction.offers.values():
        if book.status in (OfferStatus.OPEN, OfferStatus.CLEARED):
            player.must(ANYONE, "MeritOrderAuction", "expireOffer", book.id)
    for id_, request in player.model.auction.requests.items():
        for interval in request.available:
            if player.model.settlement.ledger.escrows[request_escrow(id_, interval)]:
                player.must(ANYONE, "MeritOrderAuction", "reclaimRequest", id_, interval)


def _end_holds(player: Player) -> None:
    active = [(place, hold) for place, hold in player.model.settlement.holds.items() if not hold.ended_at]
    for place, hold in sorted(active, key=lambda each: each[1].decide_by):
        player.jump(hold.decide_by + 1)
        player.must(ANYONE, "Settlement", "lapseHold", *place)


def _end_awards(player: Player) -> None:
    for book in player.model.auction.offers.values():
        ended = all((book.id, ordinal) in player.model.settlement.settled for ordinal in range(len(book.awards)))
        if book.status is OfferStatus.FINAL and not ended:
            awards = award_range(book.awards, 0, len(book.awards) - 1).argument()
            player.must(ANYONE, "Settlement", "expireAwards", book.id, awards)


def _end_commands(player: Player) -> None:
    for place, payment in player.model.settlement.commands.items():
        if not payment.settled:
            player.must(ANYONE, "Settlement", "expireCommand", *place)


def _pay_debts(player: Player) -> None:
    for address, account in list(player.model.settlement.ledger.accounts.items()):
        if account.debt and account.balance:
            player.must(ANYONE, "Settlement", "deposit", address, 0)


def _empty_seats(player: Player) -> None:
    ledger = player.model.settlement.ledger
    _wait(player, PARAMETERS.unbonding_s)
    _take_unbonded(player)  # a former owner's stands in the way of the present one's
    for nanogrid, seat in player.model.registry.seats.items():
        if ledger.seats[nanogrid]:
            player.must(ANYONE, "Settlement", "payOut", nanogrid)
        bond = ledger.bonds[nanogrid]
        if bond.amount:
            unbonding = Unbonding(nanogrid, bond.amount, bond.nonce)
            player.must(seat.owner, "Settlement", "startUnbonding", unbonding.arguments(), b"")
    _wait(player, PARAMETERS.unbonding_s)
    _take_unbonded(player)


def _take_unbonded(player: Player) -> None:
    for nanogrid, bond in player.model.settlement.ledger.bonds.items():
        if bond.unbonding:
            player.must(ANYONE, "Settlement", "withdrawBond", nanogrid)


def _empty_accounts(player: Player) -> None:
    for address, account in list(player.model.settlement.ledger.accounts.items()):
        if account.balance:
            withdrawal = Withdrawal(address, account.balance, account.nonce)
            player.must(address, "Settlement", "withdraw", withdrawal.arguments(), b"")
