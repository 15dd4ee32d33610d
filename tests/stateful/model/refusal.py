"""What the model of the market gives for a call: a refusal by its custom error, or events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from market.domain.errors import BadSignature
from market.domain.gateway_key import gateway_of
from market.domain.signing import Signature, recover
from market.domain.typed_data import Domain, Message
from market.domain.units import P256_SIGNATURE_BYTES, SIGNATURE_BYTES

ZERO_ADDRESS = "0x" + 40 * "0"
_SIGNATURE_BYTES = 65
_HALF_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 // 2


class Refused(Exception):
    """The call is refused with a custom error: its name, and its arguments in order."""

    def __init__(self, name: str, *arguments: Any) -> None:
        super().__init__(name, *arguments)
        self.name = name
        self.arguments = arguments


@dataclass
class Context:
    """What all parts of the model share: the time, the events of the call, and the contracts' domains."""

    now: int
    domains: dict[str, Domain]
    events: list[tuple[Any, ...]] = field(default_factory=list)

    def emit(self, name: str, *arguments: Any) -> None:
        """Notes an event with its arguments in the order of the interface."""
        self.events.append((name, *arguments))

    def digest(self, message: Message) -> bytes:
        """The digest that is signed for a message, in the domain of the contract that checks it."""
        return message.digest(self.domains[message.CONTRACT])

    def signer(self, sender: str, message: Message, signature: bytes) -> str:
        """Who decides: the sender with an empty signature, else the signer; refused as OpenZeppelin's ECDSA does."""
        if not signature:
            return sender
        if len(signature) != _SIGNATURE_BYTES:
            raise Refused("ECDSAInvalidSignatureLength", len(signature))
        if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
            raise Refused("ECDSAInvalidSignatureS", signature[32:64])
        try:
            return recover(self.digest(message), signature)
        except BadSignature:
            raise Refused("ECDSAInvalidSignature") from None

    def signer_or_nobody(self, sender: str, message: Message, signature: bytes) -> str:
        """As `signer`, with address 0 where none can be recovered."""
        try:
            return self.signer(sender, message, signature)
        except Refused:
            return ZERO_ADDRESS

    def gateway_or_nobody(self, sender: str, message: Message, signature: bytes) -> str:
        """Who enrols as a gateway: by 128 bytes of a P-256 key, else as anybody; address 0 where nobody does."""
        if len(signature) != P256_SIGNATURE_BYTES:
            return self.signer_or_nobody(sender, message, signature)
        return self.gateway_signer(message, signature) or ZERO_ADDRESS

    def gateway_signer(self, message: Message, signature: bytes) -> str | None:
        """Which gateway signed; None where nobody can have."""
        try:
            return gateway_of(self.digest(message), signature)
        except BadSignature:
            return None

    def compact_signer(self, message: Message, signature: bytes) -> str | None:
        """Who signed with a compact signature (EIP-2098); None where nobody can have."""
        if len(signature) != SIGNATURE_BYTES:
            return None
        try:
            return recover(self.digest(message), Signature.from_bytes(signature))
        except BadSignature:
            return None
