"""Who calls: sign-in by wallet (SIWE), sessions, API keys with scopes, and the principal of a call.

Tokens are random (256 bits), so that their SHA-256 is all that is kept.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError
from siwe import SiweMessage, VerificationError
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from market.domain.errors import Category, MeritgridError, ValidationFailed, Violation
from market.domain.typed_data import checksum_address
from market.store.database import API_KEY_LOCK, lock
from market.store.projections import Nanogrid
from market.store.work import ApiKey, SignInNonce, WalletSession

NONCE_LIFETIME_S: Final = 600
SESSION_LIFETIME_S: Final = 12 * 3600
STATEMENT: Final = "Sign in to the Meritgrid market. This costs nothing and moves nothing."
KEY_PREFIX: Final = "mg_"
GATEWAY_ROLE: Final = "GATEWAY"
_TOKEN_BYTES: Final = 32
_USE_NOTED_EVERY_S: Final = 3600


class Scope(StrEnum):
    """What an API key may be used for."""

    READ = "read"
    BIDS = "bids"
    DECISIONS = "decisions"
    ACCOUNT = "account"


class NotSignedIn(MeritgridError):
    """The call needs a signed-in caller."""

    def __init__(self, sentence: str) -> None:
        super().__init__("not-signed-in", "Sign in first", sentence, category=Category.FORBIDDEN)


class NotAllowed(MeritgridError):
    """The caller is known, but may not do this."""

    def __init__(self, sentence: str) -> None:
        super().__init__("not-allowed", "This is not yours to see or do", sentence, category=Category.FORBIDDEN)


class IdempotencyKeyReused(MeritgridError):
    """An Idempotency-Key came again with another body."""

    def __init__(self) -> None:
        sentence = "This Idempotency-Key was used for another body."
        super().__init__("idempotency-key-reused", "Idempotency-Key reused", sentence, category=Category.INVALID)


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: its wallet address, and the limits of the key that it called with.

    scopes: None for a wallet session, which may do all that its address may; nanogrid: the only one that it is for.
    """

    address: str
    scopes: frozenset[Scope] | None = None
    nanogrid: int | None = None

    def require(self, scope: Scope) -> None:
        """Raises NotAllowed when the key lacks a scope."""
        if self.scopes is not None and scope not in self.scopes:
            raise NotAllowed(f"This API key has no scope {scope.value!r}.")


def token_hash(token: str) -> str:
    return "0x" + hashlib.sha256(token.encode()).hexdigest()


def new_nonce(session: Session, now_s: int) -> str:
    """A nonce for one sign-in; it is valid for ten minutes."""
    nonce = secrets.token_hex(16)
    session.add(SignInNonce(nonce=nonce, created_at=now_s, expires_at=now_s + NONCE_LIFETIME_S, used_at=None))
    return nonce


def sign_in(
    session: Session, text: str, signature: str, domain: str, chain_id: int, now_s: int
) -> tuple[str, WalletSession]:
    """Check a signed EIP-4361 message and open a session: (token, session). The nonce is used up.

    Raises:
        ValidationFailed: the text is no such message, or is for another chain.
        NotSignedIn: signature, domain, nonce or time are wrong.
    """
    try:
        message = SiweMessage.from_message(text)
    except ValueError as problem:
        raise ValidationFailed([Violation("/message", text[:200], f"is no EIP-4361 message: {problem}")]) from problem
    if message.chain_id != chain_id:
        raise ValidationFailed([Violation("/message", message.chain_id, f"names another chain than {chain_id}")])
    try:
        message.verify(signature, domain=domain, nonce=message.nonce, timestamp=datetime.fromtimestamp(now_s, UTC))
    except VerificationError as problem:
        raise NotSignedIn(f"The signed message is refused: {type(problem).__name__} {problem}".strip()) from problem
    except (ValueError, BadSignature, ValidationError) as problem:
        raise NotSignedIn(f"The signature is malformed: {problem}") from problem
    use_nonce(session, message.nonce, now_s)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    opened = WalletSession(
        token_hash=token_hash(token),
        address=checksum_address(str(message.address)),
        created_at=now_s,
        expires_at=now_s + SESSION_LIFETIME_S,
        revoked_at=None,
    )
    session.add(opened)
    return token, opened


def use_nonce(session: Session, nonce: str, now_s: int) -> None:
    """Use a nonce up. Raises NotSignedIn where it is unknown, used or expired."""
    known = session.get(SignInNonce, nonce, with_for_update=True)
    if known is None or known.used_at is not None or known.expires_at < now_s:
        raise NotSignedIn("The nonce is unknown, used or expired. Ask for a new one at /v1/auth/nonce.")
    known.used_at = now_s


def forget_ended(session: Session, now_s: int) -> None:
    """Delete nonces and sessions that are over: anybody may ask for nonces, and nobody for these ones again."""
    session.execute(delete(SignInNonce).where(SignInNonce.expires_at < now_s))
    session.execute(delete(WalletSession).where(WalletSession.expires_at < now_s))


def new_api_key(
    session: Session,
    subject: str,
    role: str,
    scopes: Iterable[str],
    now_s: int,
    nanogrid: int | None = None,
    expires_at: int | None = None,
    idempotency_key: str | None = None,
) -> tuple[ApiKey, str]:
    """A new API key and its text, which is shown this once; it takes the place of the one that the same call made
    before, whose text was perhaps lost on the way.

    Raises:
        ValidationFailed: an unknown scope, or an end that is over.
        IdempotencyKeyReused: the earlier call wished another key.
    """
    wanted = list(scopes)
    unknown = [
        Violation(f"/scopes/{place}", scope, f"must be one of {', '.join(Scope)}")
        for place, scope in enumerate(wanted)
        if scope not in list(Scope)
    ]
    if expires_at is not None and expires_at <= now_s:
        unknown.append(Violation("/expires_at", expires_at, f"must be after now, {now_s}"))
    if unknown:
        raise ValidationFailed(unknown)
    text = KEY_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    key = ApiKey(
        key_hash=token_hash(text),
        subject=subject,
        role=role,
        scopes=sorted(set(wanted)),
        nanogrid=nanogrid,
        created_at=now_s,
        expires_at=expires_at,
        last_used_at=None,
        revoked_at=None,
        idempotency_key=idempotency_key,
    )
    if idempotency_key is not None:
        _revoke_earlier(session, key)
    session.add(key)
    session.flush()
    return key, text


def _revoke_earlier(session: Session, key: ApiKey) -> None:
    """Revoke what the same call has made before. Two calls at once wait for each other: the later one's key is live."""
    lock(session, API_KEY_LOCK)
    earlier = session.scalars(
        select(ApiKey).where(ApiKey.subject == key.subject, ApiKey.idempotency_key == key.idempotency_key)
    )
    for row in earlier:
        if _wish(row) != _wish(key):
            raise IdempotencyKeyReused
        row.revoked_at = row.revoked_at or key.created_at


def _wish(key: ApiKey) -> tuple[object, ...]:
    return key.role, key.scopes, key.nanogrid, key.expires_at


def serves(session: Session, gateway: str, nanogrid: int | None) -> bool:
    """Whether a gateway is the present one of a nanogrid: replaced or unseated, its access is worth nothing."""
    seat = None if nanogrid is None else session.get(Nanogrid, nanogrid)
    return seat is not None and seat.gateway == gateway


def principal_of(session: Session, token: str, now_s: int) -> Principal:
    """The caller with a session token or an API key.

    Raises:
        NotSignedIn: the token is unknown, expired or revoked.
    """
    if token.startswith(KEY_PREFIX):
        key = session.scalar(select(ApiKey).where(ApiKey.key_hash == token_hash(token)))
        if key is None or key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now_s):
            raise NotSignedIn("The API key is unknown, revoked or expired.")
        if key.role == GATEWAY_ROLE and not serves(session, key.subject, key.nanogrid):
            raise NotSignedIn("The API key is of a gateway that serves its nanogrid no more.")
        if key.last_used_at is None or key.last_used_at + _USE_NOTED_EVERY_S <= now_s:
            key.last_used_at = now_s
        return Principal(key.subject, frozenset(Scope(scope) for scope in key.scopes), key.nanogrid)
    opened = session.get(WalletSession, token_hash(token))
    if opened is None or opened.revoked_at is not None or opened.expires_at < now_s:
        raise NotSignedIn("The session is unknown or has ended. Sign in again at /v1/auth/siwe.")
    return Principal(opened.address)
