"""The EIP-712 messages of the market: schemas, struct hashes and digests.

Every message is a frozen dataclass whose fields, in order, are those of the Solidity struct in snake_case. Hashing is
done here for the static types, `bytes` and arrays of integers only, because a generic encoder takes ten times as long.
Source: EIP-712; docs/protocol.md, "Typed data".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar, Final, Self

from market.domain.errors import ValidationFailed, Violation
from market.domain.hashing import keccak256

DOMAIN_NAME: Final = "Meritgrid"
DOMAIN_VERSION: Final = "1"
_DOMAIN_TYPE: Final = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_INTEGER: Final = re.compile(r"(u?)int(\d+)")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_ENCODED_BYTES: Final = 32

Normalise = Callable[[Any], Any]
Encode = Callable[[Any], bytes]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message: its Solidity name and type, and its name in Python and JSON."""

    solidity_name: str
    solidity_type: str
    name: str


def snake_case(name: str) -> str:
    """Name of a Solidity field in Python and JSON: priceUeurKwh -> price_ueur_kwh."""
    return _HUMP.sub(lambda hump: f"_{hump.group(1)}", name).lower()


def fields_of_type(encoded_type: str) -> tuple[Field, ...]:
    """Fields of an `encodeType` string such as Cancellation(bytes32 offer)."""
    inner = encoded_type[encoded_type.index("(") + 1 : -1]
    pairs = (part.split(" ") for part in inner.split(","))
    return tuple(Field(name, solidity_type, snake_case(name)) for solidity_type, name in pairs)


def checksum_address(address: str) -> str:
    """EIP-55 form of an address; ValueError when it is none."""
    if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
        raise ValueError(f"not an address: {address!r}")
    return _checksum(address[2:].lower())


@lru_cache(maxsize=65_536)
def _checksum(digits: str) -> str:
    mask = keccak256(digits.encode()).hex()
    return "0x" + "".join(c.upper() if m >= "8" else c for c, m in zip(digits, mask, strict=False))


def _integer_codec(solidity_type: str, unsigned: str, bits: int) -> tuple[Normalise, Encode]:
    low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)

    def normalise(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"must be an integer from {low} to {high} ({solidity_type})")
        return int(value)  # enum members become plain integers

    return normalise, lambda value: value.to_bytes(_ENCODED_BYTES, "big", signed=value < 0)


def _normalise_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _normalise_bytes32(value: Any) -> bytes:
    if not isinstance(value, bytes) or len(value) != _ENCODED_BYTES:
        raise ValueError("must be 32 bytes")
    return bytes(value)


def _normalise_bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("must be bytes")
    return bytes(value)


def _codec(solidity_type: str) -> tuple[Normalise, Encode]:
    if solidity_type.endswith("[]"):
        normalise_item, encode_item = _codec(solidity_type[:-2])
        return (
            lambda values: tuple(normalise_item(value) for value in values),
            lambda values: keccak256(b"".join(map(encode_item, values))),
        )
    if solidity_type == "address":
        return checksum_address, lambda value: bytes.fromhex(value[2:]).rjust(_ENCODED_BYTES, b"\0")
    if solidity_type == "bool":
        return _normalise_bool, lambda value: int(value).to_bytes(_ENCODED_BYTES, "big")
    if solidity_type == "bytes32":
        return _normalise_bytes32, lambda value: value
    if solidity_type == "bytes":
        return _normalise_bytes, keccak256
    integer = _INTEGER.fullmatch(solidity_type)
    if integer is None:
        raise ValueError(f"no encoding for the type {solidity_type}")
    return _integer_codec(solidity_type, integer[1], int(integer[2]))


CONTRACT_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ParticipantRegistry": "registry",
        "GridSignals": "signals",
        "CapacityRegister": "capacity_register",
        "MeritOrderAuction": "auction",
        "MeteringOracle": "metering",
        "Settlement": "settlement",
        "SettlementToken": "token",
    }
)
"""Name of a contract → its key in the market's description."""


@dataclass(frozen=True, slots=True)
class Domain:
    """EIP-712 domain of the contract that checks a message: chain id and contract address."""

    chain_id: int
    contract: str

    def separator(self) -> bytes:
        """Domain separator, 32 bytes."""
        return _separator(self.chain_id, self.contract.lower())


@lru_cache(maxsize=256)
def _separator(chain_id: int, contract: str) -> bytes:
    return keccak256(
        keccak256(_DOMAIN_TYPE.encode())
        + keccak256(DOMAIN_NAME.encode())
        + keccak256(DOMAIN_VERSION.encode())
        + chain_id.to_bytes(_ENCODED_BYTES, "big")
        + bytes.fromhex(contract.removeprefix("0x")).rjust(_ENCODED_BYTES, b"\0")
    )


class Message:
    """Base of the messages. TYPE: EIP-712 `encodeType`; CONTRACT: the contract whose domain it is signed in.

    Construction checks every field's range and raises ValidationFailed with all problems. Addresses are kept in
    EIP-55 form, enum members as plain integers, arrays as tuples.
    """

    __slots__ = ()
    TYPE: ClassVar[str]
    CONTRACT: ClassVar[str]
    FIELDS: ClassVar[tuple[Field, ...]]
    TYPE_HASH: ClassVar[bytes]
    _codecs: ClassVar[tuple[tuple[str, Normalise, Encode], ...]]

    def __init_subclass__(cls) -> None:
        cls.FIELDS = fields_of_type(cls.TYPE)
        cls.TYPE_HASH = keccak256(cls.TYPE.encode())
        cls._codecs = tuple((field.name, *_codec(field.solidity_type)) for field in cls.FIELDS)

    def __post_init__(self) -> None:
        violations = []
        for name, normalise, _ in self._codecs:
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, normalise(value))
            except (TypeError, ValueError) as problem:
                violations.append(Violation(f"/{name}", value, str(problem)))
        if violations:
            raise ValidationFailed(violations)

    def struct_hash(self) -> bytes:
        """hashStruct of EIP-712, 32 bytes."""
        return keccak256(self.TYPE_HASH + b"".join(encode(getattr(self, name)) for name, _, encode in self._codecs))

    def digest(self, domain: Domain) -> bytes:
        """What is signed, 32 bytes; for Request and Offer also the id on the chain."""
        return keccak256(b"\x19\x01" + domain.separator() + self.struct_hash())

    def to_json(self) -> dict[str, Any]:
        """Fields in snake_case; bytes as 0x hex."""
        return {name: _to_json(getattr(self, name)) for name, _, _ in self._codecs}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The message of a JSON object; ValidationFailed names every missing, unknown or wrong field at once."""
        violations = [
            Violation(f"/{name}", value, "is not a field of this message")
            for name, value in document.items()
            if name not in {field.name for field in cls.FIELDS}
        ]
        arguments: dict[str, Any] = {}
        for field in cls.FIELDS:
            if field.name not in document:
                violations.append(Violation(f"/{field.name}", None, "is missing"))
                continue
            try:
                arguments[field.name] = _from_json(document[field.name], field.solidity_type)
                _codec_of(cls, field.name)(arguments[field.name])
            except (TypeError, ValueError) as problem:
                violations.append(Violation(f"/{field.name}", document[field.name], str(problem)))
        if violations:
            raise ValidationFailed(violations)
        return cls(**arguments)

    def typed_data(self, domain: Domain) -> dict[str, Any]:
        """The document for a wallet's eth_signTypedData_v4."""
        types = [{"name": field.solidity_name, "type": field.solidity_type} for field in self.FIELDS]
        domain_types = [
            {"name": field.solidity_name, "type": field.solidity_type} for field in fields_of_type(_DOMAIN_TYPE)
        ]
        return {
            "types": {"EIP712Domain": domain_types, type(self).__name__: types},
            "primaryType": type(self).__name__,
            "domain": {
                "name": DOMAIN_NAME,
                "version": DOMAIN_VERSION,
                "chainId": domain.chain_id,
                "verifyingContract": checksum_address(domain.contract),
            },
            "message": {field.solidity_name: _to_json(getattr(self, field.name)) for field in self.FIELDS},
        }

    def arguments(self) -> tuple[Any, ...]:
        """Fields in the order of the Solidity struct, as a contract call takes them."""
        return tuple(getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]


def _codec_of(message: type[Message], name: str) -> Normalise:
    return next(normalise for field, normalise, _ in message._codecs if field == name)


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return list(value) if isinstance(value, tuple) else value


def _from_json(value: Any, solidity_type: str) -> Any:
    if not solidity_type.startswith("bytes"):
        return value
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ValueError("must be a string of hexadecimal digits after 0x")
    try:
        return bytes.fromhex(value[2:])
    except ValueError:
        raise ValueError("must be a string of hexadecimal digits after 0x") from None
