"""Signed decisions of DSOs, aggregators, owners and accounts: checked, written down, carried to the chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from market.domain.errors import BadSignature, ValidationFailed, Violation
from market.domain.hashing import keccak256
from market.domain.signing import Signature, recover_message
from market.domain.typed_data import Message
from market.services.access import NotAllowed, Principal, Scope
from market.services.market import Market
from market.store.facts import AuditEntry, Document, SignedDecision

Decision = TypeVar("Decision", bound=Message)


@dataclass(frozen=True, slots=True)
class Carried:
    """A decision that is on the chain."""

    id: str
    transaction: str
    block: int

    def document(self) -> dict[str, Any]:
        return {"id": self.id, "transaction": self.transaction, "block": self.block}


def parse(kind: type[Decision], message: Mapping[str, Any], **fixed: object) -> Decision:
    """The typed message of a body; `fixed` are fields that the path names and the message must agree with.

    Raises:
        ValidationFailed: all wrong fields at once.
    """
    try:
        parsed = kind.from_json(message)
    except ValidationFailed as failed:
        raise ValidationFailed(
            [replace(violation, pointer="/message" + violation.pointer) for violation in failed.violations]
        ) from None
    wrong = [
        Violation(f"/message/{name}", getattr(parsed, name), f"must be the path's {_shown(value)}")
        for name, value in fixed.items()
        if getattr(parsed, name) != value
    ]
    if wrong:
        raise ValidationFailed(wrong)
    return parsed


def canonical(document: Mapping[str, Any]) -> bytes:
    """The JSON that is hashed and published: sorted keys, no spaces, UTF-8."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def require_hash(document: Mapping[str, Any], named: bytes, pointer: str) -> None:
    """Raises ValidationFailed when a message does not name the keccak256 of the document that is published with it."""
    try:
        given = keccak256(canonical(document))
    except TypeError as problem:  # numbers beyond 64 bits, characters that are none
        raise ValidationFailed([Violation("/reason", "", f"cannot be written as JSON: {problem}")]) from problem
    if given != named:
        raise ValidationFailed(
            [Violation(pointer, named, f"must be the keccak256 of the document sent with it, 0x{given.hex()}")]
        )


def signer_of(market: Market, message: Message, signature: str) -> str:
    """Address that signed a message. Raises BadSignature."""
    return recover_message(message, market.domain(message), Signature.from_hex(signature))


def carry(
    market: Market,
    principal: Principal,
    message: Message,
    signature: str,
    function: Any,
    *,
    subject: object,
    documents: Mapping[str, Mapping[str, Any]] | None = None,
    scope: Scope = Scope.DECISIONS,
) -> Carried:
    """Check a decision against the chain, write it down with its documents, and send it by the relayer.

    Raises:
        BadSignature, NotAllowed: it is not signed by the caller, or the caller's key lacks the scope.
        ContractRefused: the contract would refuse it; nothing has been written.
    """
    principal.require(scope)
    signer = signer_of(market, message, signature)
    if signer != principal.address:
        raise NotAllowed(f"The message is signed by {signer}, you are signed in as {principal.address}.")
    digest = "0x" + message.digest(market.domain(message)).hex()
    if not _is_known(market, digest):
        market.check(function)
        with market.sessions() as session:
            _write(session, market.now_s(), message, signature, signer, digest, subject, documents or {})
    receipt = market.relay(function, f"decision:{digest}")
    return Carried(digest, receipt.transaction_hash, receipt.block)


def wire_signature(signature: str) -> bytes:
    """The 65-byte form of a signature, as contracts take it. Raises BadSignature."""
    return Signature.from_hex(signature).to_bytes()


def document_of(session: Session, hash_: str) -> dict[str, Any] | None:
    """The published document with a hash, if the market has it."""
    found = session.get(Document, hash_)
    return None if found is None else dict(orjson.loads(found.body))


def audit(
    session: Session, at: int, author: str, cause: str, object_kind: str, object_id: object, **details: Any
) -> None:
    """Note a change in the event log."""
    session.add(
        AuditEntry(
            at=at,
            author=author,
            cause=cause,
            object_kind=object_kind,
            object_id=str(object_id),
            details=details or None,
        )
    )


def _is_known(market: Market, digest: str) -> bool:
    with market.sessions() as session:
        return session.scalar(select(SignedDecision.id).where(SignedDecision.digest == digest)) is not None


def _write(
    session: Session,
    now_s: int,
    message: Message,
    signature: str,
    signer: str,
    digest: str,
    subject: object,
    documents: Mapping[str, Mapping[str, Any]],
) -> None:
    kind = type(message).__name__
    session.add(
        SignedDecision(
            kind=kind,
            signer=signer,
            message=message.to_json(),
            signature=wire_signature(signature),
            digest=digest,
            subject=str(subject),
            received_at=now_s,
        )
    )
    for document_kind, document in documents.items():
        body = canonical(document)
        hash_ = "0x" + keccak256(body).hex()
        if session.get(Document, hash_) is None:
            session.add(Document(hash=hash_, kind=document_kind, body=body.decode(), created_at=now_s))
    audit(session, now_s, signer, f"signed {kind}", kind, subject)


def _shown(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


__all__ = ["BadSignature", "Carried", "audit", "canonical", "carry", "document_of", "parse", "require_hash"]
