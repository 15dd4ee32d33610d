"""The wire format between oracle and gateways: every MQTT message, its topic, its limits and what of it is signed.

Payloads are JSON objects of at most 16 KiB with a version. Signatures are in hexadecimal, compact (EIP-2098, 64 bytes)
or, where a gateway with a P-256 key signs, r, s, x and y (128 bytes; see market/domain/gateway_key.py), over EIP-712
messages in the domain of Settlement: a reading is signed as `Reading`, an acknowledgement as `Acknowledgement`,
a dispatch as `Dispatch`; receipts, snapshots, plans and statuses are sealed as a whole by an `Envelope`, so that
nothing in them can be changed or left out unnoticed. Load convention everywhere: + is withdrawal, - is injection.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from market.domain import messages as typed
from market.domain import signing
from market.domain.errors import MeritgridError, Violation
from market.domain.gateway_key import GatewayKey, gateway_of, gateway_of_message
from market.domain.hashing import keccak256
from market.domain.states import DispatchState
from market.domain.typed_data import Domain

MAX_PAYLOAD_BYTES: Final = 16 * 1024
MAX_READINGS: Final = 32
READINGS_THAT_FIT: Final = 31
"""Of the longest ones, with signatures of P-256 keys, in a payload."""
MAX_DISPATCHES: Final = 12
MAX_PLAN_ENTRIES: Final = 200
MAX_REASON_CHARACTERS: Final = 200
GENESIS_HASH: Final = "0x" + "00" * 32
"""`previous_hash` of a gateway's first reading."""

_ROOT: Final = "meritgrid/v1/gw"
_TOPIC: Final = re.compile(r"meritgrid/v1/gw/(0x[0-9a-f]{40})/([a-z]+)")

Bytes32 = Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$")]
CompactSignature = Annotated[str, Field(pattern=r"^0x[0-9a-f]{128}$")]
GatewaySignature = Annotated[str, Field(pattern=r"^0x([0-9a-f]{128}|[0-9a-f]{256})$")]
AnySignature = Annotated[str, Field(pattern=r"^0x[0-9a-f]{128}([0-9a-f]{2})?$")]
Address = Annotated[str, Field(pattern=r"^0x[0-9a-f]{40}$")]
Nanogrid = Annotated[int, Field(ge=0, lt=2**48)]
EpochS = Annotated[int, Field(ge=0, lt=2**32)]
Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Sequence32 = Annotated[int, Field(ge=1, lt=2**32)]
Count = Annotated[int, Field(ge=0, lt=2**32)]
Reason = Annotated[str, Field(max_length=MAX_REASON_CHARACTERS)]
SigningKey = GatewayKey | bytes
"""Of a gateway; or a secp256k1 key's 32 bytes, which is all that the oracle has."""
StateName = Literal["NEW", "ACCEPTED", "REJECTED", "REVOKED", "STARTED", "SUCCEEDED", "ABORTED"]


class Channel(StrEnum):
    """The last part of a gateway's topics."""

    READINGS = "readings"
    RECEIPTS = "receipts"
    DISPATCH = "dispatch"
    ACKS = "acks"
    STATUS = "status"
    PLAN = "plan"


class Quality(StrEnum):
    """How a reading came about."""

    MEASURED = "MEASURED"
    ESTIMATED = "ESTIMATED"
    REDATED = "REDATED"
    """Taken while the gateway's clock was not synchronised, dated afterwards."""


class ReceiptOutcome(StrEnum):
    """What the oracle did with a reading. STORED and DUPLICATE let the gateway forget it."""

    STORED = "STORED"
    DUPLICATE = "DUPLICATE"
    REFUSED = "REFUSED"


class DispatchKind(StrEnum):
    """AWARD: of an auction. COMMAND: a RED command of the DSO."""

    AWARD = "AWARD"
    COMMAND = "COMMAND"


class Liveness(StrEnum):
    """ONLINE: birth or renewal. OFFLINE: goodbye or last will."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"


class MessageRefused(MeritgridError):
    """A topic or payload that is none of this format. `violations` has all problems at once.

    Codes: unknown-topic, message-too-large, message-malformed.
    """

    def __init__(self, code: str, title: str, violations: tuple[Violation, ...]) -> None:
        super().__init__(code, title, "; ".join(map(str, violations)))
        self._violations = violations

    @property
    def violations(self) -> tuple[Violation, ...]:
        return self._violations


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class WireMessage(_Part):
    """Base of the payloads."""

    CHANNEL: ClassVar[Channel]

    version: Literal[1] = 1

    def payload(self) -> bytes:
        """The JSON to publish, compact; MessageRefused when it is above 16 KiB."""
        encoded = self.model_dump_json().encode()
        _require_size(encoded)
        return encoded


class SealedMessage(WireMessage):
    """Base of the payloads that are signed as a whole."""

    gateway: Address
    signature: CompactSignature

    @classmethod
    def sealed(cls, key: SigningKey, domain: Domain, **fields: Any) -> Self:
        """The message with these fields, sealed."""
        draft = cls(signature="0x" + "00" * 64, **fields)
        return draft.model_copy(update={"signature": _signature(key, draft.seal_digest(domain))})

    def seal_digest(self, domain: Domain) -> bytes:
        """The digest that `signature` signs, 32 bytes."""
        content = self.model_dump(mode="json", exclude={"signature"})
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        return typed.Envelope(self.gateway, keccak256(self.CHANNEL.value.encode()), keccak256(canonical)).digest(domain)

    def sealed_by(self, domain: Domain) -> str:
        """Address (EIP-55) of whoever sealed it; BadSignature where the seal is nobody's."""
        return gateway_of(self.seal_digest(domain), bytes.fromhex(self.signature[2:]))


class RetainedMessage(SealedMessage):
    """Base of what the broker keeps for a gateway: a newer one takes the place of all older ones, in whatever order
    they come. issued_at: the oracle's time when it was sealed [epoch s]."""

    issued_at: EpochS

    @property
    def order(self) -> int:
        """Greater than that of an older one of the same gateway and channel."""
        return self.issued_at


class SignedReading(_Part):
    """One meter record: net energy of the interval [Wh, varh], signed as EIP-712 Reading by the gateway.

    sequence counts a gateway's readings from 1 without gaps; previous_hash is the `entry_hash` of the one before.
    """

    nanogrid: Nanogrid
    interval: EpochS
    active_energy_wh: Int32
    reactive_energy_varh: Int32
    sequence: Sequence32
    previous_hash: Bytes32
    quality: Quality = Quality.MEASURED
    signature: GatewaySignature

    def reading(self) -> typed.Reading:
        """The message that contracts check."""
        return typed.Reading(
            self.nanogrid, self.interval, self.active_energy_wh, self.reactive_energy_varh, self.sequence
        )

    def digest(self, domain: Domain) -> str:
        """The signed digest, 0x hex; receipts name a reading by it."""
        return "0x" + self.reading().digest(domain).hex()

    def signer(self, domain: Domain) -> str:
        """Address (EIP-55) that signed; BadSignature where the signature is nobody's."""
        return gateway_of_message(self.reading(), domain, bytes.fromhex(self.signature[2:]))

    def entry_hash(self, domain: Domain) -> str:
        """keccak256(previous_hash + digest + quality), 0x hex: the next reading's `previous_hash`."""
        chained = bytes.fromhex(self.previous_hash[2:]) + self.reading().digest(domain) + self.quality.value.encode()
        return "0x" + keccak256(chained).hex()


class ReadingBatch(WireMessage):
    """gateway -> oracle: one or more readings of one gateway, in order of their sequence."""

    CHANNEL = Channel.READINGS

    readings: Annotated[tuple[SignedReading, ...], Field(min_length=1, max_length=MAX_READINGS)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        sequences = [reading.sequence for reading in self.readings]
        if sequences != sorted(set(sequences)):
            raise ValueError("the readings' sequences do not increase")
        return self


class Receipt(_Part):
    """What became of one reading. `subject` is the reading's digest or, when the payload could not be read at all,
    keccak256 of the payload. `code` and `reason` say why it was REFUSED."""

    subject: Bytes32
    outcome: ReceiptOutcome
    nanogrid: Nanogrid | None = None
    interval: EpochS | None = None
    sequence: Sequence32 | None = None
    code: Annotated[str, Field(max_length=60)] = ""
    reason: Reason = ""


class Receipts(SealedMessage):
    """oracle -> gateway, after commit. Sealed by the oracle. Not retained."""

    CHANNEL = Channel.RECEIPTS

    receipts: Annotated[tuple[Receipt, ...], Field(min_length=1, max_length=MAX_READINGS)]


class CommandProof(_Part):
    """The DSO's EIP-712 Command behind a RED command, for the order's nanogrid and interval; quantity in Wh."""

    product: Annotated[int, Field(ge=0, lt=256)]
    direction: Literal[0, 1]
    quantity: Annotated[int, Field(ge=1, lt=2**24)]
    reason: Bytes32
    signature: AnySignature


class DispatchOrder(_Part):
    """One dispatch that has not ended. Signed as EIP-712 Dispatch by the oracle (a COMMAND: by the oracle or the DSO).

    energy: what it moves. ACTIVE sets target_w only, REACTIVE sets target_var only (its baseline and change in varh).
    baseline_wh, change_wh: nominated baseline of the interval and the wanted change of it; target_w = the mean power
    of baseline + change (load convention); lease_end: epoch seconds after which the gateway falls back to its safe
    default; acknowledged_state: the last state of which the oracle has stored the gateway's acknowledgement: the
    gateway repeats its latest acknowledgement while the two differ. offer: the award's offer.
    """

    id: Bytes32
    kind: DispatchKind
    energy: Literal["ACTIVE", "REACTIVE"] = "ACTIVE"
    nanogrid: Nanogrid
    interval: EpochS
    baseline_wh: Int32
    change_wh: Int32
    target_w: Int32
    target_var: Int32 = 0
    lease_end: EpochS
    offer: Bytes32 | None = None
    acknowledged_state: StateName = "NEW"
    signature: CompactSignature
    command: CommandProof | None = None

    @model_validator(mode="after")
    def _command_with_proof(self) -> Self:
        if (self.kind is DispatchKind.COMMAND) != (self.command is not None):
            raise ValueError("a COMMAND carries the DSO's signed command, an AWARD none")
        return self

    @classmethod
    def signed(cls, key: bytes, domain: Domain, **fields: Any) -> Self:
        """The order with these fields, its Dispatch signed by a private key of 32 bytes."""
        draft = cls(signature="0x" + "00" * 64, **fields)
        signature = signing.sign_message(key, draft.dispatch(), domain).compact()
        return draft.model_copy(update={"signature": "0x" + signature.hex()})

    def dispatch(self) -> typed.Dispatch:
        """The message that is signed."""
        return typed.Dispatch(
            bytes.fromhex(self.id[2:]), self.nanogrid, self.interval, self.target_w, self.target_var, self.lease_end
        )

    def signer(self, domain: Domain) -> str:
        """Address (EIP-55) that signed the Dispatch; BadSignature where none can be recovered."""
        return signing.recover_message(self.dispatch(), domain, bytes.fromhex(self.signature[2:]))

    def command_message(self) -> typed.Command:
        """The DSO's command; ValueError when this is an AWARD."""
        if self.command is None:
            raise ValueError("an AWARD carries no command")
        proof = self.command
        return typed.Command(
            self.nanogrid,
            self.interval,
            proof.product,
            proof.direction,
            proof.quantity,
            bytes.fromhex(proof.reason[2:]),
        )

    def command_signer(self, signals: Domain) -> str:
        """Address that signed the command in the domain of GridSignals; BadSignature where none can be recovered."""
        if self.command is None:
            raise ValueError("an AWARD carries no command")
        return signing.recover_message(self.command_message(), signals, bytes.fromhex(self.command.signature[2:]))


class DispatchSnapshot(RetainedMessage):
    """oracle -> gateway, retained: all dispatches that have not ended. Sealed by the oracle.

    revision increases with every snapshot for this gateway: an older one is ignored. A dispatch that is missing in a
    newer snapshot before its interval ended is revoked. An empty payload (the retained message cleared) says nothing.
    """

    CHANNEL = Channel.DISPATCH

    revision: Annotated[int, Field(ge=1, lt=2**63)]
    dispatches: Annotated[tuple[DispatchOrder, ...], Field(max_length=MAX_DISPATCHES)]

    @property
    def order(self) -> int:
        return self.revision


class SignedAcknowledgement(WireMessage):
    """gateway -> oracle: the state of a dispatch since `at` [epoch s]; signed as EIP-712 Acknowledgement, in which
    reason = keccak256 of the text, or 0 where there is none. The same one may come several times."""

    CHANNEL = Channel.ACKS

    nanogrid: Nanogrid
    dispatch: Bytes32
    state: Annotated[StateName, Field(description="S2 InstructionStatus")]
    at: EpochS
    reason: Reason = ""
    signature: GatewaySignature

    @classmethod
    def signed(cls, key: SigningKey, domain: Domain, **fields: Any) -> Self:
        """The acknowledgement with these fields, signed by the gateway."""
        draft = cls(signature="0x" + "00" * 64, **fields)
        return draft.model_copy(update={"signature": _signature(key, draft.acknowledgement().digest(domain))})

    @property
    def dispatch_state(self) -> DispatchState:
        """`state` as the domain's enumeration."""
        return DispatchState[self.state]

    def acknowledgement(self) -> typed.Acknowledgement:
        """The message that is signed."""
        return typed.Acknowledgement(
            bytes.fromhex(self.dispatch[2:]), self.dispatch_state.value, self.at, reason_hash(self.reason)
        )

    def signer(self, domain: Domain) -> str:
        """Address (EIP-55) that signed; BadSignature where the signature is nobody's."""
        return gateway_of_message(self.acknowledgement(), domain, bytes.fromhex(self.signature[2:]))


class PlantSummary(_Part):
    """What a gateway tells of its plant: mean power of the last interval [W, var], devices by kind, and how many
    readings still wait for their receipt or were refused."""

    active_power_w: Int32 | None = None
    reactive_power_var: Int32 | None = None
    devices: Annotated[tuple[Annotated[str, Field(max_length=40)], ...], Field(max_length=32)] = ()
    readings_waiting: Count = 0
    readings_refused: Count = 0


class Status(SealedMessage):
    """gateway -> oracle, retained: birth (ONLINE), goodbye and last will (OFFLINE). Sealed by the gateway.

    soc_permille: state of charge per storage, in per mille of its capacity; sequence: of the last reading, 0 for none.
    """

    CHANNEL = Channel.STATUS

    nanogrid: Nanogrid
    signature: GatewaySignature
    state: Liveness
    at: EpochS
    software_version: Annotated[str, Field(max_length=40)]
    sequence: Count = 0
    soc_permille: dict[str, Annotated[int, Field(ge=0, le=1000)]] = Field(default_factory=dict, max_length=16)
    plant: PlantSummary = PlantSummary()


class PlanEntry(_Part):
    """Nominated baseline of one interval [Wh, varh]."""

    interval: EpochS
    baseline_wh: Int32
    baseline_varh: Int32 = 0


class Plan(RetainedMessage):
    """oracle -> gateway, retained: the baselines that the gateway is expected to follow. Sealed by the oracle.

    One that was issued earlier than another is ignored after it; a baseline is nominated once, so that two of the same
    second do not contradict each other.
    """

    CHANNEL = Channel.PLAN

    nanogrid: Nanogrid
    entries: Annotated[tuple[PlanEntry, ...], Field(max_length=MAX_PLAN_ENTRIES)]


_MESSAGES: Final[Mapping[str, type[WireMessage]]] = MappingProxyType(
    {
        Channel.READINGS: ReadingBatch,
        Channel.RECEIPTS: Receipts,
        Channel.DISPATCH: DispatchSnapshot,
        Channel.ACKS: SignedAcknowledgement,
        Channel.STATUS: Status,
        Channel.PLAN: Plan,
    }
)


@dataclass(frozen=True, slots=True)
class Received:
    """A parsed message: the gateway named by its topic (lower-case address), the channel and the content."""

    gateway: str
    channel: Channel
    message: WireMessage


def topic_for(gateway: str, channel: Channel) -> str:
    """Topic of a gateway's channel; the gateway's address in lower case. `+` stands for all gateways."""
    return f"{_ROOT}/{gateway.lower()}/{channel.value}"


def parse_topic(topic: str) -> tuple[str, Channel]:
    """Gateway (lower case) and channel of a topic; MessageRefused for any other topic."""
    match = _TOPIC.fullmatch(topic)
    if match is None or match[2] not in _MESSAGES:
        violation = Violation("/topic", topic[:200], "must be meritgrid/v1/gw/{address in lower case}/{channel}")
        raise MessageRefused("unknown-topic", "The topic is unknown", (violation,))
    return match[1], Channel(match[2])


def parse(topic: str, payload: bytes) -> Received:
    """The message of a payload. MessageRefused with all its problems at once; signatures are not checked here."""
    gateway, channel = parse_topic(topic)
    _require_size(payload)
    _require_no_nul(payload)
    try:
        message = _MESSAGES[channel].model_validate_json(payload)
    except ValidationError as problem:
        raise MessageRefused("message-malformed", "The message is malformed", _violations(problem)) from None
    if isinstance(message, SealedMessage) and message.gateway != gateway:
        violation = Violation("/gateway", message.gateway, f"must be the gateway of the topic, {gateway}")
        raise MessageRefused("message-malformed", "The message is malformed", (violation,))
    return Received(gateway, channel, message)


def _signature(key: SigningKey, digest: bytes) -> str:
    gateway_key = key if isinstance(key, GatewayKey) else GatewayKey.of(key)
    return "0x" + gateway_key.sign(digest).hex()


def reason_hash(reason: str) -> bytes:
    """keccak256 of a reason's text, or 32 zero bytes for none: `reason` of an EIP-712 Acknowledgement."""
    return keccak256(reason.encode()) if reason else bytes(32)


def _require_size(payload: bytes) -> None:
    if len(payload) > MAX_PAYLOAD_BYTES:
        violation = Violation("", f"{len(payload)} bytes", f"must be at most {MAX_PAYLOAD_BYTES} bytes")
        raise MessageRefused("message-too-large", "The message is too large", (violation,))


def _require_no_nul(payload: bytes) -> None:
    """PostgreSQL keeps no such character in a text: one gateway's would stop what comes behind it."""
    if b"\0" in payload or b"\\u0000" in payload:
        violation = Violation("", "\\u0000", "must not contain the character NUL")
        raise MessageRefused("message-malformed", "The message is malformed", (violation,))


def _violations(problem: ValidationError) -> tuple[Violation, ...]:
    return tuple(
        Violation(
            "".join(f"/{part}" for part in error["loc"]),
            str(error["input"])[:200],
            error["msg"].removeprefix("Value error, "),
        )
        for error in problem.errors(include_url=False, include_context=False)
    )
