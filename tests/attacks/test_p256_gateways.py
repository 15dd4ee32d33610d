"""Gateways with P-256 keys: theirs counts as any other's, a forged one is nobody's, and a chain that cannot check them
takes none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from eth_utils import keccak
from web3.contract.contract import ContractFunction

from market.chain.embedded import start_anvil
from market.chain.precompiles import P256_PRECOMPILE, can_check_p256
from market.domain.errors import Skip
from market.domain.gateway_key import GatewayKey, KeyKind
from market.domain.messages import Enrolment
from market.domain.signing import sign_message
from market.domain.units import P256_SIGNATURE_BYTES
from scripts.demo.supervisor import free_port
from tests.attacks.arena import Arena, Outcome, gateway_key, nanogrid, new_key
from tests.attacks.submission import settle_alone_call, settle_call
from tests.conftest import TEST_EPOCH
from tests.contracts_properties.auction_house import U
from tests.domain.test_gateway_key import FORGED, parts

NOBODY = "0x" + "00" * 20
P256 = GatewayKey.of(keccak(text="a gateway with a P-256 key"), KeyKind.P256)
CODE_KEY, CODE = new_key("a code for a P-256 gateway")


def seat(arena: Arena, index: int = 1) -> None:
    """The operator seats the gateway by its address, which does not tell the curve."""
    arena.send(arena.settlement.functions.setGateway(nanogrid(index), P256.address), arena.operator)


def over(arena: Arena) -> bytes:
    """The honest offer, final, its interval over, with the P-256 gateway at seat 1 and a secp256k1 one at seat 2."""
    seat(arena)
    offer = arena.final()
    arena.at(arena.interval + U)
    return offer


def enrolling(arena: Arena, signature: bytes | None = None) -> ContractFunction:
    """The enrolment of the P-256 gateway at seat 7, with its own signature if no other is given."""
    message = Enrolment(nanogrid(7), P256.address)
    arena.send(arena.settlement.functions.openEnrolment(nanogrid(7), CODE, arena.now + U), arena.operator)
    return arena.settlement.functions.enrolGateway(
        nanogrid(7),
        P256.address,
        sign_message(CODE_KEY, message, arena.settlement_domain).to_bytes(),
        signature or P256.sign_message(message, arena.settlement_domain),
    )


# WHERE THE CHAIN CAN CHECK THEM


def test_the_chain_says_that_it_can_check_them(arena: Arena) -> None:
    assert can_check_p256(arena.web3)


def test_a_p256_gateway_enrols(arena: Arena) -> None:
    arena.send(enrolling(arena), arena.anyone)
    assert arena.settlement.functions.gatewayOf(nanogrid(7)).call() == P256.address


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_nobody_enrols_a_p256_gateway_by_a_forged_signature(arena: Arena, forged: Callable[..., bytes]) -> None:
    message = Enrolment(nanogrid(7), P256.address)
    signature = forged(*parts(P256.sign_message(message, arena.settlement_domain)))
    arena.refuse(enrolling(arena, signature), arena.attacker, "NotAccount", account=P256.address, signer=NOBODY)


def test_a_p256_key_enrols_no_other_address(arena: Arena) -> None:
    message = Enrolment(nanogrid(7), P256.address)
    other = GatewayKey.of(keccak(text="another P-256 key"), KeyKind.P256)
    call = enrolling(arena, other.sign_message(message, arena.settlement_domain))
    arena.refuse(call, arena.attacker, "NotAccount", account=P256.address, signer=other.address)


def test_a_batch_of_both_kinds_is_settled(arena: Arena, honest_outcome: Outcome) -> None:
    offer = over(arena)
    submission = arena.submission(offer, arena.delivery(offer), keys={1: P256})
    assert {len(signature) for _, _, signature in submission.readings} == {64, P256_SIGNATURE_BYTES}
    for order in (submission.readings, submission.readings[::-1]):
        with arena.taken_back():
            receipt = arena.send(settle_call(arena.settlement, replace(submission, readings=order)), arena.oracle)
            assert arena.skipped_awards(receipt) == []
            assert arena.money(offer) == honest_outcome.money


def test_a_p256_reading_is_settled_alone(arena: Arena, honest_outcome: Outcome) -> None:
    offer = over(arena)
    arena.send(settle_alone_call(arena.settlement, arena.submission(offer, {1: 400}, keys={1: P256})), arena.oracle)
    assert arena.seat_balance(1) == honest_outcome.money["seat 1"] == 40_000


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_p256_reading_is_skipped_and_the_others_are_paid(
    arena: Arena, honest_outcome: Outcome, forged: Callable[..., bytes]
) -> None:
    offer = over(arena)
    submission = arena.submission(offer, arena.delivery(offer), keys={1: P256})
    readings = [
        (ordinal, reading, forged(*parts(signature)) if len(signature) == P256_SIGNATURE_BYTES else signature)
        for ordinal, reading, signature in submission.readings
    ]
    receipt = arena.send(settle_call(arena.settlement, replace(submission, readings=readings)), arena.oracle)
    given = any(next(signature[:32] for _, _, signature in readings if len(signature) == P256_SIGNATURE_BYTES))
    assert arena.skipped_awards(receipt) == [Skip.BAD_SIGNATURE if given else Skip.NOT_ANNOUNCED]
    assert arena.seat_balance(1) == 0
    assert arena.seat_balance(2) == honest_outcome.money["seat 2"]


def test_each_kind_signs_for_its_own_seat_only(arena: Arena) -> None:
    """Neither another P-256 key nor a secp256k1 one stands in for the seat's, and the seat's for no other seat."""
    offer = over(arena)
    other = GatewayKey.of(keccak(text="another P-256 key"), KeyKind.P256)
    for keys in ({1: other, 2: P256}, {1: gateway_key(1), 2: P256}):
        receipt = arena.send(arena.settling(offer, arena.delivery(offer), keys=keys), arena.oracle)
        assert arena.skipped_awards(receipt) == 2 * [Skip.BAD_SIGNATURE]
    assert (arena.seat_balance(1), arena.seat_balance(2)) == (0, 0)


def test_an_announced_p256_reading_is_settled_by_anyone(arena: Arena, honest_outcome: Outcome) -> None:
    offer = over(arena)
    keys = {1: P256, 2: gateway_key(2)}
    for index, energy in arena.delivery(offer).items():
        arena.send(arena.announcing(arena.reading(index, energy), keys[index]), arena.anyone)
    arena.at(arena.now + arena.settlement.functions.holdWindowS().call())
    arena.send(arena.settling(offer, arena.delivery(offer), keys=keys), arena.anyone)
    assert arena.money(offer) == honest_outcome.money


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_p256_reading_is_not_announced(arena: Arena, forged: Callable[..., bytes]) -> None:
    over(arena)
    reading = arena.reading(1, 400)
    call = arena.metering.functions.announceReading(reading.arguments(), forged(*parts(arena.signed(P256, reading))))
    arena.refuse(call, arena.attacker, "BadReadingSignature", nanogrid=nanogrid(1), interval=arena.interval)


@pytest.mark.parametrize("length", [0, 64, 65, 96, 127, 129, 160])
def test_a_p256_signature_of_another_length_is_nobodys(arena: Arena, length: int) -> None:
    """Cut, or with something behind it: one reading has one signature."""
    over(arena)
    reading = arena.reading(1, 400)
    signature = (arena.signed(P256, reading) + bytes(64))[:length]
    call = arena.metering.functions.announceReading(reading.arguments(), signature)
    arena.refuse(call, arena.attacker, "BadReadingSignature", nanogrid=nanogrid(1), interval=arena.interval)


def test_a_p256_gateway_that_signs_twice_is_unseated(arena: Arena) -> None:
    over(arena)
    arena.send(arena.annulling(arena.reading(1, 400), arena.reading(1, 100), P256), arena.anyone)
    assert arena.metering.functions.isAnnulled(nanogrid(1), arena.interval).call()
    assert arena.settlement.functions.gatewayOf(nanogrid(1)).call() == NOBODY


# WHERE IT CANNOT


@pytest.fixture(scope="module")
def older_chain() -> Iterator[Arena]:
    """A market on a chain of the rules before Osaka, which has no precompile for P-256."""
    with start_anvil(free_port(), timestamp=TEST_EPOCH, hardfork="prague") as chain:
        arena = Arena.build(chain)
        arena.prepare()
        yield arena


@pytest.fixture
def older(older_chain: Arena) -> Iterator[Arena]:
    with older_chain.taken_back():
        yield older_chain


MISSING = {"argument_0": P256_PRECOMPILE}


def test_the_chain_says_that_it_cannot_check_them(older: Arena) -> None:
    assert not can_check_p256(older.web3)


def test_a_chain_without_the_precompile_enrols_no_p256_gateway(older: Arena) -> None:
    older.refuse(enrolling(older), older.anyone, "MissingPrecompile", **MISSING)
    assert "P-256" in older.refusal(enrolling(older), older.anyone).sentence


def test_the_code_that_a_p256_gateway_could_not_use_is_good_for_another_key(older: Arena) -> None:
    older.refuse(enrolling(older), older.anyone, "MissingPrecompile", **MISSING)
    key, address = new_key("a secp256k1 key instead")
    message = Enrolment(nanogrid(7), address)
    signatures = [sign_message(each, message, older.settlement_domain).to_bytes() for each in (CODE_KEY, key)]
    older.send(older.settlement.functions.enrolGateway(nanogrid(7), address, *signatures), older.anyone)
    assert older.settlement.functions.gatewayOf(nanogrid(7)).call() == address


def test_a_p256_address_that_the_operator_seats_there_signs_nothing(older: Arena, honest_outcome: Outcome) -> None:
    """Its reading stops a batch and is not announced; without it the others are settled."""
    offer = over(older)
    call = older.settling(offer, older.delivery(offer), keys={1: P256})
    older.refuse(call, older.oracle, "MissingPrecompile", **MISSING)
    older.refuse(older.announcing(older.reading(1, 400), P256), older.anyone, "MissingPrecompile", **MISSING)
    older.send(older.settling(offer, {2: 600}), older.oracle)
    assert older.seat_balance(2) == honest_outcome.money["seat 2"]
