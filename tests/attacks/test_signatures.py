"""Signatures in other shapes: a high s, other v, short and long ones, and ones from which nobody is recovered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_utils import keccak

from market.domain.errors import BidRejection, Skip
from market.domain.messages import Enrolment, Hold, Signal, Unbonding, Withdrawal
from market.domain.products import Direction, Phase, Product
from market.domain.records import BidRecord
from market.domain.signing import sign, sign_message
from market.domain.typed_data import Domain
from market.domain.units import P256_SIGNATURE_BYTES
from tests.attacks.arena import EUR, NO_REASON, Arena, Outcome, gateway_key, nanogrid, new_key
from tests.attacks.submission import settle_call
from tests.contracts_properties.auction_house import NO_SIGNATURE, NODE, SEATS, U, owner_key

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
NOBODY = "0x" + "00" * 20
UNREGISTERED = SEATS
"""Index that no seat has: its owner reads as address 0."""


def mirrored(signature: bytes) -> bytes:
    """The other signature (65 bytes) of the same key over the same message: n - s, and the other v."""
    s = int.from_bytes(signature[32:64], "big")
    return signature[:32] + (ORDER - s).to_bytes(32, "big") + bytes((55 - signature[64],))


def signal_of(arena: Arena) -> tuple[Signal, bytes]:
    """RED at the node, signed by a DSO whose key the test has."""
    key, dso = new_key("a DSO with a key")
    functions = arena.registry.functions
    arena.send(functions.grantRole(keccak(text="DSO"), dso), arena.operator)
    arena.send(functions.setNodeDso(NODE, dso), arena.operator)
    signal = Signal(NODE, arena.interval, Phase.RED, 0, NO_REASON, 1)
    domain = Domain(arena.web3.eth.chain_id, arena.deployment.addresses["GridSignals"])
    return signal, sign_message(key, signal, domain).to_bytes()


def test_a_signature_with_a_high_s_is_refused(arena: Arena) -> None:
    signal, signature = signal_of(arena)
    other = mirrored(signature)
    setting = arena.signals.functions.setSignal(signal.arguments(), other)
    arena.refuse(setting, arena.attacker, "ECDSAInvalidSignatureS", s="0x" + other[32:64].hex())
    arena.send(arena.signals.functions.setSignal(signal.arguments(), signature), arena.relayer)
    assert arena.signals.functions.phaseOf(NODE, arena.interval).call() == Phase.RED


@pytest.mark.parametrize("v", [0, 1, 2, 26, 29, 255])
def test_a_signature_with_another_v_is_refused(arena: Arena, v: int) -> None:
    signal, signature = signal_of(arena)
    setting = arena.signals.functions.setSignal(signal.arguments(), signature[:64] + bytes((v,)))
    arena.refuse(setting, arena.attacker, "ECDSAInvalidSignature")


@pytest.mark.parametrize("change", [lambda given: given + b"\0", lambda given: given[:-1], lambda given: given[:1]])
def test_a_signature_of_another_length_is_refused(arena: Arena, change: object) -> None:
    assert callable(change)
    signal, signature = signal_of(arena)
    shaped = change(signature)
    setting = arena.signals.functions.setSignal(signal.arguments(), shaped)
    arena.refuse(setting, arena.attacker, "ECDSAInvalidSignatureLength", length=len(shaped))


def test_the_mirrored_signature_of_a_bid_is_none(arena: Arena, honest_outcome: Outcome) -> None:
    """A compact signature has no room for a high s: what is left of it recovers somebody else."""
    offer = arena.honest_offer()
    wire = arena.wired(offer, BidRecord(100_000, 400, 0, 7))
    record, r, vs = wire[:12], wire[12:44], int.from_bytes(wire[44:], "big")
    low, parity = vs & (1 << 255) - 1, vs >> 255
    forms = [(ORDER - low) & (1 << 255) - 1 | flag << 255 for flag in (0, 1)] + [low | (1 - parity) << 255]
    forged = [record + r + form.to_bytes(32, "big") for form in forms]
    assert arena.skips(arena.send(arena.posting(offer, *forged), arena.attacker)) == [BidRejection.BAD_SIGNATURE] * 3
    assert arena.conclude(offer) == honest_outcome


@pytest.mark.parametrize(
    "signature",
    [bytes(64), (1).to_bytes(32, "big") + bytes(32), bytes(32) + (1).to_bytes(32, "big"), b"\xff" * 64],
    ids=["zero", "s-zero", "r-zero", "beyond-the-order"],
)
def test_a_bid_from_which_nobody_is_recovered_is_nobodys(
    arena: Arena, honest_outcome: Outcome, signature: bytes
) -> None:
    offer = arena.honest_offer()
    bids = [BidRecord(100_000, 400, 0, 7).pack(signed=True), BidRecord(100_000, 400, 0, UNREGISTERED).pack(signed=True)]
    receipt = arena.send(arena.posting(offer, *(bid + signature for bid in bids)), arena.attacker)
    assert arena.skips(receipt) == [BidRejection.BAD_SIGNATURE, BidRejection.SEAT_NOT_ACTIVE]
    assert arena.conclude(offer) == honest_outcome


@pytest.mark.parametrize(
    ("signature", "skip"),
    [
        pytest.param(bytes(64), Skip.NOT_ANNOUNCED, id="zero"),
        pytest.param(bytes(32) + (1).to_bytes(32, "big"), Skip.NOT_ANNOUNCED, id="r-zero"),
        pytest.param((1).to_bytes(32, "big") + bytes(32), Skip.BAD_SIGNATURE, id="s-zero"),
        pytest.param(b"\xff" * 64, Skip.BAD_SIGNATURE, id="beyond-the-order"),
    ],
)
def test_a_seat_without_gateway_has_no_reading_by_nobody(arena: Arena, signature: bytes, skip: Skip) -> None:
    """The zero address is the gateway of a seat without one, and what a broken signature recovers. An r of zero stands
    for no signature: the reading would have to be announced, for which it needs one."""
    offer = arena.final()
    arena.send(arena.settlement.functions.setGateway(nanogrid(1), NOBODY), arena.operator)
    arena.at(arena.interval + U)
    reading = arena.reading(1, 400)
    announcing = arena.metering.functions.announceReading(reading.arguments(), signature)
    arena.refuse(announcing, arena.attacker, "BadReadingSignature", nanogrid=nanogrid(1), interval=arena.interval)
    submission = arena.submission(offer, {1: 400})
    unsigned = replace(submission, readings=tuple((*reading[:2], signature) for reading in submission.readings))
    receipt = arena.send(settle_call(arena.settlement, unsigned), arena.oracle)
    assert arena.skipped_awards(receipt) == [skip]
    assert arena.seat_balance(1) == 0


@pytest.mark.parametrize(
    "signature", [(1).to_bytes(32, "big") + bytes(32), b"\xff" * 64], ids=["s-zero", "beyond-the-order"]
)
def test_nor_is_a_command_paid_by_nobodys_reading(arena: Arena, signature: bytes) -> None:
    arena.at_before(410)
    arena.anchor()
    arena.at_before(100)
    arena.signal(Phase.RED, kind=1)
    command = (nanogrid(1), arena.interval, Product.VC_EMERGENCY_P, Direction.DOWN, 400, NO_REASON)
    arena.send(arena.signals.functions.giveCommand(command, NO_SIGNATURE), arena.dso)
    arena.send(arena.settlement.functions.setGateway(nanogrid(1), NOBODY), arena.operator)
    arena.at(arena.interval + U)
    reading = replace(arena.award_reading(1, 400), signature=signature).argument()
    settling = arena.settlement.functions.settleCommand(
        nanogrid(1), arena.interval, arena.baseline_leaf(1), reading, bytes(32), (0, b"", ())
    )
    arena.refuse(settling, arena.oracle, "BadReadingSignature", nanogrid=nanogrid(1), interval=arena.interval)


def test_the_zero_account_withdraws_nothing(arena: Arena) -> None:
    withdrawal = Withdrawal(NOBODY, EUR, 0)
    withdrawing = arena.settlement.functions.withdraw(withdrawal.arguments(), bytes(65))
    arena.refuse(withdrawing, arena.attacker, "NotAccount", account=NOBODY, signer=NOBODY)


def test_a_seat_that_nobody_owns_unbonds_nothing(arena: Arena) -> None:
    unbonding = Unbonding(nanogrid(UNREGISTERED), EUR, 0)
    starting = arena.settlement.functions.startUnbonding(unbonding.arguments(), bytes(65))
    arena.refuse(starting, arena.attacker, "UnknownSeat", nanogrid=nanogrid(UNREGISTERED))


def test_a_hold_by_nobody_is_refused(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.final()
    hold = Hold(offer, 0, NO_REASON)
    placing = arena.settlement.functions.placeHold(hold.arguments(), arena.award_leaf(offer, 0), bytes(65))
    arena.refuse(placing, arena.attacker, "NotHoldParty", offer="0x" + offer.hex(), signer=NOBODY)
    assert arena.conclude(offer) == honest_outcome


def test_a_high_s_withdraws_nothing(arena: Arena) -> None:
    """Else who has seen a withdrawal could carry it under another hash; here it is no signature at all."""
    withdrawal = Withdrawal(arena.owner(7), EUR, 0)
    signature = sign_message(owner_key(7), withdrawal, arena.settlement_domain).to_bytes()
    withdrawing = arena.settlement.functions.withdraw(withdrawal.arguments(), mirrored(signature))
    arena.refuse(withdrawing, arena.attacker, "NotAccount", account=arena.owner(7), signer=NOBODY)


def test_a_gateways_signature_over_another_digest_is_nobodys(arena: Arena, honest_outcome: Outcome) -> None:
    """A key that also signs elsewhere: what it signs there is no reading, whatever the bytes."""
    offer = arena.final()
    arena.at(arena.interval + U)
    reading = arena.reading(1, 100)
    raw = sign(gateway_key(1), reading.digest(Domain(arena.web3.eth.chain_id, arena.metering.address))).compact()
    announcing = arena.metering.functions.announceReading(reading.arguments(), raw)
    assert arena.refusal(announcing, arena.attacker).name == "BadReadingSignature"
    assert arena.conclude(offer) == honest_outcome


def test_the_zero_address_enrols_as_nobodys_gateway(arena: Arena) -> None:
    """A code in the right hands, and a signature of a P-256 gateway's length by which nobody is known."""
    code_key, code = new_key("a code for nobody")
    message = Enrolment(nanogrid(7), NOBODY)
    arena.send(arena.settlement.functions.openEnrolment(nanogrid(7), code, arena.now + U), arena.operator)
    by_code = sign_message(code_key, message, arena.settlement_domain).to_bytes()
    call = arena.settlement.functions.enrolGateway(nanogrid(7), NOBODY, by_code, bytes(P256_SIGNATURE_BYTES))
    arena.refuse(call, arena.anyone, "NotAccount", account=NOBODY, signer=NOBODY)
