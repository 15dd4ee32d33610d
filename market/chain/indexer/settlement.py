"""Events of Settlement: how awards and commands ended, and the books, entry by entry as the contract keeps them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select

from market.chain.bindings import Event
from market.chain.indexer.projecting import Projecting, given, on
from market.domain.products import Direction, Side
from market.domain.settled_records import unpack_results
from market.domain.settlement import AwardTerms, settle_as_recorded
from market.store.models import (
    Award,
    AwardSkip,
    EscrowMovement,
    FlexibilityRequest,
    GatewayChange,
    GatewayEnrolmentOpened,
    GridCommand,
    Hold,
    LedgerKind,
    Offer,
    SeatDebt,
)

_CONTRACT: Final = "Settlement"
_PARTS_OF_AN_END: Final = 4
"""Ledger entries that the end of an award makes at most."""


# GATEWAYS


@on(_CONTRACT, "GatewayChanged")
def _change_gateway(run: Projecting, event: Event) -> None:
    gateway = given(event["gateway"])
    run.nanogrid(event["nanogrid"]).gateway = gateway
    run.session.add(
        GatewayChange(
            block=event.block,
            log_index=event.log_index,
            nanogrid=event["nanogrid"],
            gateway=gateway,
            at=event.block_time,
        )
    )


@on(_CONTRACT, "EnrolmentOpened")
def _open_enrolment(run: Projecting, event: Event) -> None:
    opened = run.session.get(GatewayEnrolmentOpened, (event["nanogrid"], event["code"]))
    if opened is None:
        opened = GatewayEnrolmentOpened(nanogrid=event["nanogrid"], code_address=event["code"])
        run.session.add(opened)
    opened.expires_at, opened.opened_at = event["expiresAt"], event.block_time


# ACCOUNTS AND BONDS


@on(_CONTRACT, "Deposited")
def _deposit(run: Projecting, event: Event) -> None:
    run.book_account(event, 0, event["account"], LedgerKind.DEPOSIT, event["amountUeur"])


@on(_CONTRACT, "Withdrawn")
def _withdraw(run: Projecting, event: Event) -> None:
    run.book_account(event, 0, event["account"], LedgerKind.WITHDRAWAL, -event["amountUeur"])


@on(_CONTRACT, "PaidOut")
def _pay_out(run: Projecting, event: Event) -> None:
    run.book_seat(event, 0, event["nanogrid"], LedgerKind.PAY_OUT, -event["amountUeur"])


@on(_CONTRACT, "BondFunded")
def _fund_bond(run: Projecting, event: Event) -> None:
    run.book_bond(event, 0, event["nanogrid"], LedgerKind.BOND_FUNDED, event["amountUeur"])
    run.funded = event["nanogrid"]


@on(_CONTRACT, "UnbondingStarted")
def _start_unbonding(run: Projecting, event: Event) -> None:
    seat = run.nanogrid(event["nanogrid"])
    seat.bond_ueur -= event["amountUeur"]
    seat.unbonding_ueur += event["amountUeur"]
    seat.unbonding_available_at = event["availableAt"]


@on(_CONTRACT, "BondWithdrawn")
def _withdraw_bond(run: Projecting, event: Event) -> None:
    seat = run.nanogrid(event["nanogrid"])
    # The whole that was being unbonded leaves; moved back first, so that the entry finds it in the bond.
    seat.bond_ueur += seat.unbonding_ueur
    seat.unbonding_ueur = 0
    run.book_bond(event, 0, event["nanogrid"], LedgerKind.BOND_WITHDRAWN, -event["amountUeur"])
    seat.unbonding_available_at = None


@on(_CONTRACT, "BondCharged")
def _charge_bond(run: Projecting, event: Event) -> None:
    run.book_bond(event, 0, event["nanogrid"], LedgerKind.PENALTY, -event["amountUeur"])
    run.book_account(event, 1, event["creditor"], LedgerKind.PENALTY, event["amountUeur"], nanogrid=event["nanogrid"])


# DEBTS


@on(_CONTRACT, "SeatDebtChanged")
def _change_seat_debt(run: Projecting, event: Event) -> None:
    nanogrid, creditor, debt_ueur = event["nanogrid"], event["creditor"], event["debtUeur"]
    debt = run.session.get(SeatDebt, (nanogrid, creditor))
    if debt is None:
        debt = SeatDebt(nanogrid=nanogrid, creditor=creditor, debt_ueur=0)
        run.session.add(debt)
    paid_ueur = debt.debt_ueur - debt_ueur
    debt.debt_ueur = debt_ueur
    run.nanogrid(nanogrid).debt_ueur -= paid_ueur
    if paid_ueur <= 0:
        return  # a new debt: nothing has moved
    if run.funded == nanogrid:
        run.book_bond(event, 0, nanogrid, LedgerKind.DEBT_PAID, -paid_ueur)
    else:
        run.book_seat(event, 0, nanogrid, LedgerKind.DEBT_PAID, -paid_ueur)
    run.book_account(event, 1, creditor, LedgerKind.DEBT_PAID, paid_ueur, nanogrid=nanogrid)


@on(_CONTRACT, "AccountDebtChanged")
def _change_account_debt(run: Projecting, event: Event) -> None:
    run.account(event["account"]).debt_ueur = event["debtUeur"]


@on(_CONTRACT, "AccountDebtPaid")
def _pay_account_debt(run: Projecting, event: Event) -> None:
    account, nanogrid, amount_ueur = event["account"], event["nanogrid"], event["amountUeur"]
    run.book_account(event, 0, account, LedgerKind.DEBT_PAID, -amount_ueur, nanogrid=nanogrid)
    run.book_seat(event, 1, nanogrid, LedgerKind.COMMAND_PAID, amount_ueur)


# ESCROWS


def _move(
    run: Projecting, event: Event, kind: str, from_id: str | None, to_id: str | None, account: str | None
) -> None:
    run.session.add(
        EscrowMovement(
            block=event.block,
            log_index=event.log_index,
            kind=kind,
            from_id=from_id,
            to_id=to_id,
            account=account,
            amount_ueur=event["amountUeur"],
            at=event.block_time,
            transaction=event.transaction,
        )
    )


@on(_CONTRACT, "EscrowLocked")
def _lock_escrow(run: Projecting, event: Event) -> None:
    _move(run, event, "LOCKED", None, event["id"], event["account"])
    amount_ueur = -event["amountUeur"]
    run.book_account(event, 0, event["account"], LedgerKind.ESCROW_LOCKED, amount_ueur, reference=event["id"])


@on(_CONTRACT, "EscrowReleased")
def _release_escrow(run: Projecting, event: Event) -> None:
    _move(run, event, "RELEASED", event["id"], None, event["account"])
    amount_ueur = event["amountUeur"]
    run.book_account(event, 0, event["account"], LedgerKind.ESCROW_RELEASED, amount_ueur, reference=event["id"])


@on(_CONTRACT, "EscrowMoved")
def _move_escrow(run: Projecting, event: Event) -> None:
    _move(run, event, "MOVED", event["from"], event["to"], None)


# AWARDS AND COMMANDS


@on(_CONTRACT, "AwardsSettled")
def _settle_awards(run: Projecting, event: Event) -> None:
    offer = run.session.get_one(Offer, event["offer"])
    request = None if offer.request is None else run.session.get_one(FlexibilityRequest, offer.request)
    held = select(Hold.ordinal).where(Hold.offer == offer.offer, Hold.upheld.is_(True))
    upheld = set(run.session.scalars(held))
    for place, result in enumerate(unpack_results(bytes.fromhex(event["results"][2:]))):
        award = run.session.get_one(Award, (offer.offer, result.ordinal))
        end = settle_as_recorded(
            _terms(award, offer, request), result.outcome, result.delivered, upheld=result.ordinal in upheld
        )
        award.outcome = result.outcome
        award.delivered = result.delivered
        award.baseline = result.baseline
        award.metered = result.metered
        award.paid_ueur = end.paid_ueur
        award.margin_ueur = end.margin_ueur
        award.refunded_ueur = end.refunded_ueur
        award.penalty_ueur = end.penalty_ueur
        award.settled_at = event.block_time
        award.settle_transaction = event.transaction
        _book_end(run, event, place * _PARTS_OF_AN_END, award, offer, request)


def _terms(award: Award, offer: Offer, request: FlexibilityRequest | None) -> AwardTerms:
    return AwardTerms(
        Side(offer.side),
        Direction(offer.direction),
        award.quantity,
        award.price_ueur_kwh,
        None if request is None else request.price_ueur_kwh,
    )


def _book_end(
    run: Projecting, event: Event, part: int, award: Award, offer: Offer, request: FlexibilityRequest | None
) -> None:
    """What an award's end moves between seat, aggregator and payer; bond and debt have events of their own."""
    paid_ueur, margin_ueur, refunded_ueur = award.paid_ueur or 0, award.margin_ueur or 0, award.refunded_ueur or 0
    payer = offer.aggregator if request is None else request.dso
    about = {"reference": award.offer, "ordinal": award.ordinal, "interval": award.interval}
    if offer.side == Side.BUY:
        run.book_seat(event, part, award.nanogrid, LedgerKind.AWARD_PAID, paid_ueur, **about)
    else:
        # As the contract: the balance pays first.
        taken_ueur = min(paid_ueur, run.nanogrid(award.nanogrid).balance_ueur)
        run.book_seat(event, part, award.nanogrid, LedgerKind.SALE, -taken_ueur, **about)
        run.book_account(
            event, part + 1, offer.aggregator, LedgerKind.SALE, taken_ueur, nanogrid=award.nanogrid, **about
        )
    run.book_account(
        event, part + 2, offer.aggregator, LedgerKind.MARGIN, margin_ueur, nanogrid=award.nanogrid, **about
    )
    run.book_account(event, part + 3, payer, LedgerKind.REFUND, refunded_ueur, nanogrid=award.nanogrid, **about)


@on(_CONTRACT, "AwardSkipped")
def _skip_award(run: Projecting, event: Event) -> None:
    run.session.add(
        AwardSkip(
            block=event.block,
            log_index=event.log_index,
            offer=event["offer"],
            ordinal=event["ordinal"],
            reason=event["reason"],
            at=event.block_time,
        )
    )


@on(_CONTRACT, "CommandSettled")
def _settle_command(run: Projecting, event: Event) -> None:
    nanogrid, interval = event["nanogrid"], event["interval"]
    command = run.session.get_one(GridCommand, (nanogrid, interval))
    command.delivered = event["delivered"]
    command.baseline = event["baseline"]
    command.metered = event["metered"]
    command.paid_ueur = event["paidUeur"]
    command.refunded_ueur = event["refundedUeur"]
    command.unpaid_ueur = event["unpaidUeur"]
    command.settled_at = event.block_time
    command.settle_transaction = event.transaction
    from_reserve_ueur = command.reserved_ueur - event["refundedUeur"]
    about = {"interval": interval}
    run.book_seat(event, 0, nanogrid, LedgerKind.COMMAND_PAID, event["paidUeur"], **about)
    run.book_account(event, 1, command.dso, LedgerKind.REFUND, event["refundedUeur"], nanogrid=nanogrid, **about)
    run.book_account(
        event,
        2,
        command.dso,
        LedgerKind.COMMAND_CHARGED,
        from_reserve_ueur - event["paidUeur"],
        nanogrid=nanogrid,
        **about,
    )


# HOLDS


@on(_CONTRACT, "HoldPlaced")
def _place_hold(run: Projecting, event: Event) -> None:
    locked = run.previous
    if locked is None or locked.name != "EscrowLocked" or locked.transaction != event.transaction:
        raise ValueError(f"the hold of transaction {event.transaction} has no bond")
    run.session.add(
        Hold(
            block=event.block,
            log_index=event.log_index,
            offer=event["offer"],
            ordinal=event["ordinal"],
            holder=event["holder"],
            reason=event["reason"],
            bond_ueur=locked["amountUeur"],
            placed_at=event.block_time,
            decide_by=event["decideBy"],
        )
    )


@on(_CONTRACT, "HoldDecided")
def _decide_hold(run: Projecting, event: Event) -> None:
    open_hold = select(Hold).where(
        Hold.offer == event["offer"], Hold.ordinal == event["ordinal"], Hold.decided_at.is_(None)
    )
    hold = run.session.scalars(open_hold).one()
    hold.decided_at, hold.upheld, hold.lapsed = event.block_time, event["upheld"], event["lapsed"]
    about = {"reference": hold.offer, "ordinal": hold.ordinal}
    if hold.upheld:
        run.book_account(event, 0, hold.holder, LedgerKind.HOLD_BOND, hold.bond_ueur, **about)
    else:
        award = run.session.get_one(Award, (hold.offer, hold.ordinal))
        run.book_seat(event, 0, award.nanogrid, LedgerKind.HOLD_BOND, hold.bond_ueur, **about)
