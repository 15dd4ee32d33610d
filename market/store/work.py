"""What the services have to do and where they stand: the outbox, the sender's transactions, keys and sessions."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from market.store.base import Address, Base, BigInt, Code, Hash32, JsonValue, Name, Raw, RowId, SerialNumber, SmallInt


class DispatchKind(StrEnum):
    """What a dispatch carries out."""

    AWARD = "AWARD"
    COMMAND = "COMMAND"


class OutboxState(StrEnum):
    """Way of a dispatch: the states of S2 and, before and beside them, those of the outbox."""

    NEW = "NEW"
    PUBLISHED = "PUBLISHED"
    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    STARTED = "STARTED"
    SUCCEEDED = "SUCCEEDED"
    ABORTED = "ABORTED"
    REVOKED = "REVOKED"
    UNANSWERED = "UNANSWERED"


class Dispatch(Base):
    """An order to a gateway, written with the state that causes it and published until the gateway has answered."""

    __tablename__ = "dispatches"
    __table_args__ = (
        Index(None, "state", "interval"),
        Index(None, "gateway", "interval"),
        UniqueConstraint("offer", "ordinal"),
        Index(None, "nanogrid", "interval"),
    )

    id: Mapped[Hash32] = mapped_column(primary_key=True)
    """Deterministic: the `dispatch` field of the EIP-712 Dispatch and Acknowledgement."""
    kind: Mapped[Code]
    nanogrid: Mapped[BigInt]
    gateway: Mapped[Address]
    interval: Mapped[BigInt]
    product: Mapped[SmallInt]
    direction: Mapped[SmallInt]
    quantity: Mapped[int]
    """Wh or varh of the award or command."""
    baseline: Mapped[int]
    """Wh or varh of the interval, load convention."""
    change: Mapped[int]
    """Ordered change of the interval's energy [Wh or varh], load convention: negative for UP."""
    target_w: Mapped[int]
    target_var: Mapped[int]
    lease_end: Mapped[BigInt]
    signature: Mapped[Raw]
    """By the oracle over the EIP-712 Dispatch, or by the DSO over its Command."""
    offer: Mapped[Hash32 | None]
    ordinal: Mapped[int | None]
    """The award that it carries out; both null for a command."""
    decision: Mapped[Hash32 | None]
    """Digest of the DSO's signed command (signed_decisions)."""
    state: Mapped[Code] = mapped_column(default=OutboxState.NEW)
    reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[BigInt]
    published_at: Mapped[BigInt | None]
    answered_at: Mapped[BigInt | None]
    started_at: Mapped[BigInt | None]
    ended_at: Mapped[BigInt | None]


class SnapshotRevision(Base):
    """Number of the newest snapshot of dispatches that a gateway was sent, one row (id 1)."""

    __tablename__ = "snapshot_revisions"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    revision: Mapped[BigInt]


class TransactionState(StrEnum):
    """Way of a transaction of the sender."""

    PREPARED = "PREPARED"
    """Signed and stored; perhaps sent, perhaps not."""
    SENT = "SENT"
    """A node has taken it."""
    MINED = "MINED"
    FAILED = "FAILED"
    """Mined and reverted; `error` says why."""


class Transaction(Base):
    """A transaction of the one sender. What it is for (`purpose_key`) happens once."""

    __tablename__ = "transactions"
    __table_args__ = (
        UniqueConstraint("sender", "nonce"),
        Index(None, "state", "sender"),
    )

    id: Mapped[RowId]
    sender: Mapped[Address]
    nonce: Mapped[BigInt]
    chain_id: Mapped[BigInt]
    to: Mapped[Address]
    data: Mapped[Raw]
    raw: Mapped[Raw]
    """Signed bytes, sent again until there is a receipt; those of the latest replacement."""
    hash: Mapped[Hash32] = mapped_column(unique=True)
    replaced_hashes: Mapped[JsonValue] = mapped_column(default=list)
    """Hashes of the same nonce at lower fees; any of them may be mined."""
    gas_limit: Mapped[BigInt]
    max_fee_wei: Mapped[BigInt]
    state: Mapped[Code] = mapped_column(default=TransactionState.PREPARED)
    purpose: Mapped[Name]
    """Contract and function, for people."""
    purpose_key: Mapped[Name] = mapped_column(unique=True)
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[BigInt]
    sent_at: Mapped[BigInt | None]
    mined_at: Mapped[BigInt | None]
    receipt_block: Mapped[BigInt | None]
    gas_used: Mapped[BigInt | None]
    error: Mapped[JsonValue | None]
    """{name, code, sentence, arguments} of the decoded custom error."""


class SenderNonce(Base):
    """Next nonce of a key; its row is the lock under which nonces are given."""

    __tablename__ = "sender_nonces"

    sender: Mapped[Address] = mapped_column(primary_key=True)
    chain_id: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    next_nonce: Mapped[BigInt]


class ApiKey(Base):
    """A program's key. Only its hash is kept."""

    __tablename__ = "api_keys"

    id: Mapped[RowId]
    key_hash: Mapped[Hash32] = mapped_column(unique=True)
    """SHA-256 of a random 256-bit key, 0x hex."""
    subject: Mapped[Name]
    """Address of the participant, or of the gateway, that it acts for."""
    role: Mapped[Code]
    scopes: Mapped[JsonValue]
    nanogrid: Mapped[BigInt | None]
    created_at: Mapped[BigInt]
    expires_at: Mapped[BigInt | None]
    last_used_at: Mapped[BigInt | None]
    """To the hour, so that not every call writes."""
    revoked_at: Mapped[BigInt | None]
    idempotency_key: Mapped[Name | None]
    """Of the call that made it: a retry of that call revokes it and makes another."""


class SignInNonce(Base):
    """A nonce given out for a SIWE message, used once."""

    __tablename__ = "sign_in_nonces"

    nonce: Mapped[Name] = mapped_column(primary_key=True)
    created_at: Mapped[BigInt]
    expires_at: Mapped[BigInt]
    used_at: Mapped[BigInt | None]


class WalletSession(Base):
    """A person signed in with a wallet (SIWE)."""

    __tablename__ = "wallet_sessions"

    token_hash: Mapped[Hash32] = mapped_column(primary_key=True)
    address: Mapped[Address] = mapped_column(index=True)
    created_at: Mapped[BigInt]
    expires_at: Mapped[BigInt]
    revoked_at: Mapped[BigInt | None]


class IdempotencyKey(Base):
    """The answer to a POST, given again to a retry. status is null while the first call is under way."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("subject", "route", "key"),)

    id: Mapped[RowId]
    key: Mapped[Name]
    subject: Mapped[Name]
    route: Mapped[Name]
    request_hash: Mapped[Hash32]
    response_status: Mapped[SmallInt | None]
    response_body: Mapped[Raw | None]
    response_type: Mapped[Name | None]
    created_at: Mapped[BigInt] = mapped_column(index=True)


class Notice(Base):
    """Something that happened beside the chain, for streams: a bid, reading or dispatch. Kept for two days."""

    __tablename__ = "notices"

    id: Mapped[RowId]
    topic: Mapped[Code]
    event: Mapped[Code]
    subject: Mapped[Name]
    """The bid's digest, the dispatch's id, or the nanogrid that measured."""
    nanogrid: Mapped[BigInt]
    interval: Mapped[BigInt]
    offer: Mapped[Hash32 | None]
    account: Mapped[Address | None]
    """A bid's signer, who hears of it beside the nanogrid's own."""
    at: Mapped[BigInt] = mapped_column(index=True)


class BrokerCredential(Base):
    """A client's access to the broker. The password is random (256 bits), so its SHA-256 is enough."""

    __tablename__ = "broker_credentials"

    username: Mapped[Name] = mapped_column(primary_key=True)
    password_sha256: Mapped[Hash32]
    kind: Mapped[Code]
    """GATEWAY or SERVICE."""
    gateway: Mapped[Address | None]
    nanogrid: Mapped[BigInt | None]
    created_at: Mapped[BigInt]
    revoked_at: Mapped[BigInt | None]


class GatewayCertificate(Base):
    """A certificate that the enrolment authority has signed for a gateway. Its times are the machine's."""

    __tablename__ = "gateway_certificates"

    serial: Mapped[SerialNumber] = mapped_column(primary_key=True)
    """In hexadecimal, lower case."""
    gateway: Mapped[Address] = mapped_column(index=True)
    nanogrid: Mapped[BigInt] = mapped_column(index=True)
    issued_at: Mapped[BigInt]
    expires_at: Mapped[BigInt]
    revoked_at: Mapped[BigInt | None]
    reason: Mapped[Code | None]


class RevocationList(Base):
    """The lists of revoked certificates that the authority has signed; the one with the highest number counts."""

    __tablename__ = "revocation_lists"

    number: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    pem: Mapped[str] = mapped_column(Text)
    issued_at: Mapped[BigInt]


class Enrolment(Base):
    """A one-time code that binds a gateway to a nanogrid; the code itself is never stored, only its key's address."""

    __tablename__ = "enrolments"

    code_address: Mapped[Address] = mapped_column(primary_key=True)
    nanogrid: Mapped[BigInt] = mapped_column(index=True)
    created_by: Mapped[Name]
    created_at: Mapped[BigInt]
    expires_at: Mapped[BigInt]
    gateway: Mapped[Address | None]
    used_at: Mapped[BigInt | None]
