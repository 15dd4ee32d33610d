"""Errors of OpenZeppelin's parts, which the contracts let through: how each is reached, or why none is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from eth_utils import keccak

from market.domain.messages import Permit
from market.domain.signing import sign_message
from market.domain.typed_data import Domain
from tests.attacks.arena import EUR, NO_REASON, Arena, new_key
from tests.attacks.refusals import Refused, Row, refused
from tests.attacks.refusals.registry import NOBODY
from tests.contracts_properties.auction_house import NODE, owner_key

LIBRARY_TABLE: dict[str, Row] = {}
"""Error -> how it is reached."""

REACHED_ELSEWHERE: Final = {
    "MissingPrecompile": ("test_p256_gateways", "test_a_chain_without_the_precompile_enrols_no_p256_gateway"),
    "ReentrancyGuardReentrantCall": ("test_reentrancy", "test_a_reentrant_token_gains_nothing"),
}
"""Error -> the test that reaches it with another chain or another token."""

NEVER: Final = {
    "AccessControlUnauthorizedAccount": "the registry refuses by its own RoleMissing",
    "ERC20InvalidSender": "the zero address grants no allowance, and calls nothing",
    "InvalidAccountNonce": "a permit's nonce is not given but taken: a wrong one is another signer's",
    "InvalidShortString": "name and version are constants",
    "SafeERC20FailedOperation": "the token reverts instead of answering false",
    "StringTooLong": "name and version are constants",
}
"""Error of an artifact that no call reaches -> why."""

GOVERNANCE = bytes(32)
HIGH_S = b"\xff" * 32


def library(error: str) -> Callable[[Row], Row]:
    def enter(row: Row) -> Row:
        assert error not in LIBRARY_TABLE, f"two rows for {error}"
        LIBRARY_TABLE[error] = row
        return row

    return enter


# TOKENS


@library("ERC20InsufficientBalance")
def _(arena: Arena) -> Refused:
    moving = arena.token.functions.transfer(arena.dso, EUR)
    return refused(moving, arena.attacker, sender=arena.attacker, balance=0, needed=EUR)


@library("ERC20InsufficientAllowance")
def _(arena: Arena) -> Refused:
    spender = arena.settlement.address
    depositing = arena.settlement.functions.deposit(arena.attacker, EUR)
    return refused(depositing, arena.attacker, spender=spender, allowance=0, needed=EUR)


@library("ERC20InvalidReceiver")
def _(arena: Arena) -> Refused:
    return refused(arena.token.functions.transfer(NOBODY, 0), arena.anyone, receiver=NOBODY)


@library("ERC20InvalidSpender")
def _(arena: Arena) -> Refused:
    return refused(arena.token.functions.approve(NOBODY, EUR), arena.anyone, spender=NOBODY)


@library("ERC20InvalidApprover")
def _(arena: Arena) -> Refused:
    return refused(arena.token.functions.transferFrom(NOBODY, arena.attacker, 0), arena.attacker, approver=NOBODY)


def permitting(arena: Arena, key: bytes, deadline: int) -> Refused:
    permit = Permit(arena.owner(7), arena.attacker, EUR, 0, deadline)
    signed = sign_message(key, permit, Domain(arena.web3.eth.chain_id, arena.token.address)).to_bytes()
    call = arena.token.functions.permit(
        permit.owner, permit.spender, EUR, deadline, signed[64], signed[:32], signed[32:64]
    )
    return refused(call, arena.attacker)


@library("ERC2612ExpiredSignature")
def _(arena: Arena) -> Refused:
    deadline = arena.now - 1
    given = permitting(arena, owner_key(7), deadline)
    return refused(given.call, given.caller, deadline=deadline)


@library("ERC2612InvalidSigner")
def _(arena: Arena) -> Refused:
    key, signer = new_key("somebody else")
    given = permitting(arena, key, arena.interval)
    return refused(given.call, given.caller, signer=signer, owner=arena.owner(7))


@library("SafeCastOverflowedUintDowncast")
def _(arena: Arena) -> Refused:
    depositing = arena.settlement.functions.deposit(arena.attacker, 2**96)
    return refused(depositing, arena.attacker, bits=96, value=2**96)


# SIGNATURES


def signalling(arena: Arena, signature: bytes, /, **arguments: Any) -> Refused:
    red = (NODE, arena.interval, 2, 0, NO_REASON, 1)
    return refused(arena.signals.functions.setSignal(red, signature), arena.attacker, **arguments)


@library("ECDSAInvalidSignature")
def _(arena: Arena) -> Refused:
    return signalling(arena, bytes(65))


@library("ECDSAInvalidSignatureLength")
def _(arena: Arena) -> Refused:
    return signalling(arena, bytes(64), length=64)


@library("ECDSAInvalidSignatureS")
def _(arena: Arena) -> Refused:
    return signalling(arena, bytes(32) + HIGH_S + b"\x1b", s=HIGH_S)


# GOVERNANCE


@library("AccessControlBadConfirmation")
def _(arena: Arena) -> Refused:
    leaving = arena.registry.functions.renounceRole(keccak(text="DSO"), arena.dso)
    return refused(leaving, arena.attacker)


@library("AccessControlEnforcedDefaultAdminRules")
def _(arena: Arena) -> Refused:
    return refused(arena.registry.functions.grantRole(GOVERNANCE, arena.attacker), arena.operator)


@library("AccessControlEnforcedDefaultAdminDelay")
def _(arena: Arena) -> Refused:
    arena.send(arena.registry.functions.beginDefaultAdminTransfer(arena.attacker), arena.operator)
    _, schedule = arena.registry.functions.pendingDefaultAdmin().call()
    return refused(arena.registry.functions.acceptDefaultAdminTransfer(), arena.attacker, schedule=schedule)


@library("AccessControlInvalidDefaultAdmin")
def _(arena: Arena) -> Refused:
    accepting = arena.registry.functions.acceptDefaultAdminTransfer()
    return refused(accepting, arena.attacker, defaultAdmin=arena.attacker)
