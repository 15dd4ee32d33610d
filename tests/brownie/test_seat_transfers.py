"""Seats change hands by their owner's signature, or announced long before: the operator takes nobody's seat."""

from brownie import reverts
from stage import EUR, NO_SIGNATURE, PARAMETERS, ZERO, role_id, thrown

from market.domain.messages import Delegation, SeatTransferVeto


def test_a_seat_is_given_away_by_its_owners_signature_once(stage):
    with reverts(thrown("NotSeatOwner", stage.seat(0), stage.owners[1])):
        stage.transfer(signer=stage.owners[1])
    with reverts(thrown("NotSeatOwner", stage.seat(0), stage.operator)):
        stage.registry.changeSeatOwner((stage.seat(0), stage.operator, 0), NO_SIGNATURE, {"from": stage.operator})
    with reverts(thrown("StaleNonce", stage.seat(0), 1, 0)):
        stage.transfer(nonce=1)
    with reverts(thrown("ZeroAddress")):
        stage.transfer(owner=ZERO)
    transaction = stage.transfer()
    assert transaction.events["SeatOwnerChanged"] == {"nanogrid": stage.seat(0), "owner": stage.stranger}
    assert stage.registry.hasRole(role_id("PROSUMER"), stage.stranger), "nodes take transactions of nobody else"
    with reverts(thrown("NotSeatOwner", stage.seat(0), stage.owners[0])):
        stage.transfer(owner=stage.owners[0], nonce=1)


def test_a_later_decision_of_the_owner_makes_its_signed_transfer_void(stage):
    revocation = Delegation(stage.seat(0), ZERO, 0, 0, 0, 0, 0)
    stage.registry.setDelegate(revocation.arguments(), NO_SIGNATURE, {"from": stage.owners[0]})
    with reverts(thrown("StaleNonce", stage.seat(0), 0, 1)):
        stage.transfer()


def announce(stage, owner=None):
    """Returns from when on the transfer of seat 0 is possible."""
    transaction = stage.registry.announceSeatTransfer(stage.seat(0), owner or stage.stranger, {"from": stage.operator})
    return transaction.timestamp + 2 * PARAMETERS.unbonding_s


def complete(stage):
    return stage.registry.completeSeatTransfer(stage.seat(0), {"from": stage.operator})


def test_without_its_owners_signature_a_seat_is_given_away_after_twice_the_time_of_unbonding(stage):
    stage.fund_bond(0, 2 * EUR)
    with reverts(thrown("NoTransferAnnounced", stage.seat(0))):
        complete(stage)
    possible_from = announce(stage)
    assert tuple(stage.registry.announcedTransferOf(stage.seat(0))) == (stage.stranger, possible_from)
    stage.at(possible_from - 1)
    with reverts(thrown("TransferNotPossibleYet", stage.seat(0), possible_from)):
        complete(stage)
    stage.at(possible_from)
    complete(stage)
    assert stage.registry.hasRole(role_id("PROSUMER"), stage.stranger)
    assert stage.registry.seatOf(stage.seat(0))[0] == stage.stranger
    assert stage.registry.signerOf(stage.seat(0))[0] == stage.stranger
    with reverts(thrown("NoTransferAnnounced", stage.seat(0))):
        complete(stage)


def test_a_later_announcement_replaces_the_first_and_its_time(stage):
    first = announce(stage)
    stage.at(first)
    second = announce(stage, stage.owners[1])
    with reverts(thrown("TransferNotPossibleYet", stage.seat(0), second)):
        complete(stage)
    with reverts(thrown("ZeroAddress")):
        announce(stage, ZERO)


def test_an_owner_vetoes_a_transfer_until_it_is_completed(stage):
    veto = SeatTransferVeto(stage.seat(0), 0)
    with reverts(thrown("NoTransferAnnounced", stage.seat(0))):
        stage.registry.vetoSeatTransfer(veto.arguments(), NO_SIGNATURE, {"from": stage.owners[0]})
    possible_from = announce(stage)
    with reverts(thrown("NotSeatOwner", stage.seat(0), stage.stranger)):
        stage.registry.vetoSeatTransfer(veto.arguments(), NO_SIGNATURE, {"from": stage.stranger})
    stage.at(possible_from)
    signature = stage.sign(stage.owners[0], veto)
    transaction = stage.registry.vetoSeatTransfer(veto.arguments(), signature, {"from": stage.stranger})
    assert transaction.events["SeatTransferVetoed"] == {"nanogrid": stage.seat(0), "owner": stage.stranger}
    with reverts(thrown("NoTransferAnnounced", stage.seat(0))):
        complete(stage)
    announce(stage)
    with reverts(thrown("StaleNonce", stage.seat(0), 0, 1)):
        stage.registry.vetoSeatTransfer(veto.arguments(), signature, {"from": stage.stranger})


def test_a_transfer_by_signature_ends_an_announced_one(stage):
    announce(stage, stage.owners[1])
    stage.transfer()
    assert tuple(stage.registry.announcedTransferOf(stage.seat(0))) == (ZERO, 0)


def test_what_is_being_unbonded_stays_the_old_owners(stage):
    stage.fund_bond(0, 20 * EUR)
    unbonding = (stage.seat(0), 8 * EUR, 0)
    stage.settlement.startUnbonding(unbonding, NO_SIGNATURE, {"from": stage.owners[0]})
    stage.transfer()
    available_at = stage.settlement.bondOf(stage.seat(0))[2]
    own = (stage.seat(0), 1 * EUR, 1)
    with reverts(thrown("UnbondingPending", stage.seat(0), available_at)):
        stage.settlement.startUnbonding(own, NO_SIGNATURE, {"from": stage.stranger})
    stage.at(available_at)
    transaction = stage.settlement.withdrawBond(stage.seat(0), {"from": stage.stranger})
    assert transaction.events["BondWithdrawn"]["owner"] == stage.owners[0]
    assert stage.token.balanceOf(stage.owners[0]) == 8 * EUR
    stage.settlement.startUnbonding(own, NO_SIGNATURE, {"from": stage.stranger})
    assert list(stage.settlement.bondOf(stage.seat(0)))[:2] == [11 * EUR, 1 * EUR]
