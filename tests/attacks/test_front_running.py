"""Somebody sees a transaction on its way and is faster: clear, settle, hold, permit, enrolment, offers."""

from __future__ import annotations

from eth_utils import keccak

from market.domain.errors import Skip
from market.domain.messages import Enrolment, Hold, Permit, Unbonding, Withdrawal
from market.domain.signing import sign_message
from market.domain.typed_data import Domain
from tests.attacks.arena import EUR, HONEST_BIDS, NO_REASON, Arena, Outcome, gateway_key, nanogrid, new_key
from tests.contracts_properties.auction_house import U, owner_key

DEADLINE = 2**32 - 1


# CLEAR, SETTLE, HOLD


def test_front_running_clear_does_the_relayers_work(arena: Arena, honest_outcome: Outcome) -> None:
    """The claim is proved, not believed: whoever brings it, the result is the same."""
    offer = arena.honest_offer()
    arena.at_before(140)
    clearing = arena.rightly(offer)
    arena.send(clearing, arena.attacker)
    arena.refuse(clearing, arena.relayer, "WrongStatus", offer="0x" + offer.hex(), status=2)
    assert arena.conclude(offer) == honest_outcome


def test_front_running_the_first_chunk_delays_nothing(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.honest_offer()
    arena.at_before(140)
    whole = arena.rightly(offer)
    chunk = arena.auction.functions.clear(*whole.arguments[:2], whole.arguments[2][:12], *whole.arguments[3:])
    arena.send(chunk, arena.attacker)
    arena.send(whole, arena.relayer)
    assert arena.conclude(offer) == honest_outcome


def test_front_running_settle_settles_nothing(arena: Arena, honest_outcome: Outcome) -> None:
    """The same readings from somebody who is no verifier were not announced."""
    offer = arena.final()
    arena.at(arena.interval + U)
    receipt = arena.send(arena.settling(offer, arena.delivery(offer)), arena.attacker)
    assert arena.skipped_awards(receipt) == [Skip.NOT_ANNOUNCED] * 2
    assert arena.conclude(offer) == honest_outcome


def test_front_running_settle_by_an_announcement_hurries_nothing(arena: Arena, honest_outcome: Outcome) -> None:
    """Announced by the attacker, a reading waits for its window; the verifier's goes on beside it."""
    offer = arena.final()
    arena.at(arena.interval + U)
    for index, energy in arena.delivery(offer).items():
        arena.send(arena.announcing(arena.reading(index, energy), gateway_key(index)), arena.attacker)
    receipt = arena.send(arena.settling(offer, arena.delivery(offer)), arena.attacker)
    assert arena.skipped_awards(receipt) == [Skip.HOLD_WINDOW_OPEN] * 2
    assert arena.conclude(offer) == honest_outcome


def test_front_running_a_part_of_a_settlement_leaves_the_rest(arena: Arena, honest_outcome: Outcome) -> None:
    """One award alone, settled by the verifier twice over: the batch skips it, and pays the other."""
    offer = arena.final()
    arena.at(arena.interval + U)
    arena.send(arena.settling(offer, {1: 400}), arena.oracle)
    receipt = arena.send(arena.settling(offer, arena.delivery(offer)), arena.oracle)
    assert arena.skipped_awards(receipt) == [Skip.ALREADY_SETTLED]
    assert arena.money(offer) == honest_outcome.money


def test_front_running_a_hold_places_the_holders_hold(arena: Arena) -> None:
    """The signed hold is the holder's, whoever carries it."""
    key, holder = new_key("an oracle with a key")
    arena.send(arena.registry.functions.grantRole(keccak(text="ORACLE"), holder), arena.operator)
    arena.send(arena.token.functions.mint(arena.operator, 20 * EUR, NO_REASON), arena.operator)
    arena.send(arena.token.functions.approve(arena.settlement.address, 20 * EUR), arena.operator)
    arena.send(arena.settlement.functions.deposit(holder, 20 * EUR), arena.operator)
    offer = arena.final()
    hold = Hold(offer, 0, NO_REASON)
    signature = sign_message(key, hold, arena.settlement_domain).to_bytes()
    placing = arena.settlement.functions.placeHold(hold.arguments(), arena.award_leaf(offer, 0), signature)
    arena.send(placing, arena.attacker)
    arena.refuse(placing, arena.relayer, "HoldExists", offer="0x" + offer.hex(), ordinal=0)
    assert arena.settlement.functions.holdOf(offer, 0).call()[0] == holder
    assert arena.balance(holder) == 10 * EUR


def test_a_hold_is_not_outrun_by_whoever_is_paid(arena: Arena) -> None:
    """A prosumer that sees a hold coming cannot settle first: what is not the verifier's has its window."""
    offer = arena.final()
    arena.at(arena.interval + U)
    arena.send(arena.announcing(arena.reading(1, 400), gateway_key(1)), arena.anyone)
    receipt = arena.send(arena.settling(offer, {1: 400}), arena.anyone)
    assert arena.skipped_awards(receipt) == [Skip.HOLD_WINDOW_OPEN]
    arena.send(arena.holding(offer, 0), arena.dso)
    assert arena.settlement.functions.holdOf(offer, 0).call()[0] == arena.dso
    assert arena.seat_balance(1) == 0


# PERMIT


def permit_of(arena: Arena, amount_ueur: int) -> tuple[int, bytes, bytes]:
    """v, r, s of a permit by the owner of seat 7, who is given the tokens."""
    owner = arena.owner(7)
    arena.send(arena.token.functions.mint(owner, amount_ueur, NO_REASON), arena.operator)
    permit = Permit(owner, arena.settlement.address, amount_ueur, 0, DEADLINE)
    domain = Domain(arena.web3.eth.chain_id, arena.token.address)
    signature = sign_message(owner_key(7), permit, domain).to_bytes()
    return signature[64], signature[:32], signature[32:64]


def test_front_running_a_permit_does_not_stop_the_deposit(arena: Arena) -> None:
    v, r, s = permit_of(arena, 5 * EUR)
    owner = arena.owner(7)
    permitting = arena.token.functions.permit(owner, arena.settlement.address, 5 * EUR, DEADLINE, v, r, s)
    arena.send(permitting, arena.attacker)
    depositing = arena.settlement.functions.depositWithPermit(owner, 5 * EUR, DEADLINE, v, r, s)
    arena.send(depositing, arena.relayer)
    assert arena.balance(owner) == 5 * EUR
    arena.assert_solvent()


def test_a_permit_seen_on_its_way_funds_nobody_elses_bond(arena: Arena) -> None:
    v, r, s = permit_of(arena, 5 * EUR)
    owner, before = arena.owner(7), arena.bond(8)
    funding = arena.settlement.functions.fundBondWithPermit(nanogrid(8), owner, 5 * EUR, DEADLINE, v, r, s)
    arena.refuse(funding, arena.attacker, "NotSeatOwner", nanogrid=nanogrid(8), signer=owner)
    assert arena.bond(8) == before
    assert arena.token.functions.balanceOf(owner).call() == 5 * EUR


def test_a_permit_seen_on_its_way_fills_no_other_account(arena: Arena) -> None:
    v, r, s = permit_of(arena, 5 * EUR)
    depositing = arena.settlement.functions.depositWithPermit(arena.attacker, 5 * EUR, DEADLINE, v, r, s)
    assert arena.refusal(depositing, arena.attacker).name == "ERC20InsufficientAllowance"
    moving = arena.token.functions.transferFrom(arena.owner(7), arena.attacker, 5 * EUR)
    assert arena.refusal(moving, arena.attacker).name == "ERC20InsufficientAllowance"
    assert arena.balance(arena.attacker) == 0


def test_a_permit_turned_from_the_account_into_the_bond_stays_its_owners(arena: Arena) -> None:
    """A permit does not say what for: meant for a deposit, it is carried into its owner's own bond by somebody faster.
    The owner gets all of it back; what it loses is the time of unbonding."""
    v, r, s = permit_of(arena, 5 * EUR)
    owner, before, functions = arena.owner(7), arena.bond(7), arena.settlement.functions
    arena.send(functions.fundBondWithPermit(nanogrid(7), owner, 5 * EUR, DEADLINE, v, r, s), arena.attacker)
    depositing = functions.depositWithPermit(owner, 5 * EUR, DEADLINE, v, r, s)
    assert arena.refusal(depositing, arena.relayer).name == "ERC20InsufficientAllowance"
    assert arena.bond(7) == before + 5 * EUR
    unbonding = Unbonding(nanogrid(7), 5 * EUR, 0)
    signature = sign_message(owner_key(7), unbonding, arena.settlement_domain).to_bytes()
    arena.send(functions.startUnbonding(unbonding.arguments(), signature), arena.relayer)
    arena.at(arena.now + functions.unbondingS().call())
    arena.send(functions.withdrawBond(nanogrid(7)), arena.anyone)
    assert arena.bond(7) == before
    assert arena.token.functions.balanceOf(owner).call() == 5 * EUR
    arena.assert_solvent()


def test_an_allowance_that_stands_moves_tokens_to_its_owners_account_only(arena: Arena) -> None:
    """Without any permit: who has approved more than it deposited finds the rest in its account, and withdraws it."""
    permitting = (arena.owner(7), arena.settlement.address, 5 * EUR, DEADLINE, *permit_of(arena, 5 * EUR))
    arena.send(arena.token.functions.permit(*permitting), arena.relayer)
    no_permit = (0, 27, bytes(32), bytes(32))
    functions, owner = arena.settlement.functions, arena.owner(7)
    elsewhere = functions.depositWithPermit(arena.attacker, 5 * EUR, *no_permit)
    assert arena.refusal(elsewhere, arena.attacker).name == "ERC20InsufficientAllowance"
    arena.send(functions.depositWithPermit(owner, 5 * EUR, *no_permit), arena.attacker)
    withdrawal = Withdrawal(owner, 5 * EUR, 0)
    signature = sign_message(owner_key(7), withdrawal, arena.settlement_domain).to_bytes()
    arena.send(functions.withdraw(withdrawal.arguments(), signature), arena.relayer)
    assert arena.token.functions.balanceOf(owner).call() == 5 * EUR
    arena.assert_solvent()


# ENROLMENT, OFFERS


def test_front_running_an_enrolment_seats_no_other_gateway(arena: Arena) -> None:
    code_key, code = new_key("a one-time code")
    gateway_key_, gateway = new_key("a new gateway")
    thief_key, thief = new_key("a thief's gateway")
    opening = arena.settlement.functions.openEnrolment(nanogrid(7), code, arena.interval)
    arena.send(opening, arena.operator)
    message, stolen = Enrolment(nanogrid(7), gateway), Enrolment(nanogrid(7), thief)
    by_code = sign_message(code_key, message, arena.settlement_domain).to_bytes()
    by_gateway = sign_message(gateway_key_, message, arena.settlement_domain).to_bytes()
    by_thief = sign_message(thief_key, stolen, arena.settlement_domain).to_bytes()
    enrolling = arena.settlement.functions.enrolGateway
    assert arena.refusal(enrolling(nanogrid(7), thief, by_code, by_thief), arena.attacker).name == "EnrolmentUnknown"
    arena.send(enrolling(nanogrid(7), gateway, by_code, by_gateway), arena.relayer)
    assert arena.settlement.functions.gatewayOf(nanogrid(7)).call() == gateway


def test_front_running_an_offer_takes_no_place_of_the_aggregators(arena: Arena, honest_outcome: Outcome) -> None:
    """Only the portfolio's aggregator opens offers: nobody can fill its place with another one."""
    arena.ready()
    arena.refuse(
        arena.opening(quantity=1, salt=9), arena.rival, "NotAggregatorOfPortfolio", portfolio=3, signer=arena.rival
    )
    offer = arena.open_offer()
    arena.send(arena.posting(offer, arena.wired(offer, *HONEST_BIDS)), arena.relayer)
    assert arena.conclude(offer) == honest_outcome
