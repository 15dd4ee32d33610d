"""What the API takes: request bodies. Signed messages are checked by their own types (market.domain.messages)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from market.domain.typed_data import checksum_address
from market.services.access import Scope
from market.services.accounts import TokenPermit
from market.services.enrolment_ca import MAX_REQUEST_CHARACTERS

HexSignature = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{128}([0-9a-fA-F]{2})?$", description="64 or 65 bytes")]
GatewayHexSignature = Annotated[
    str,
    Field(
        pattern=r"^0x[0-9a-fA-F]{128}([0-9a-fA-F]{2}|[0-9a-fA-F]{128})?$",
        description="64 or 65 bytes of a secp256k1 key, or 128 of a P-256 key: r, s, x, y",
    ),
]
Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$"), AfterValidator(checksum_address)]
Hash = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{64}$", description="32 bytes")]
Number = Annotated[int, Field(ge=0, lt=2**63)]
"""A number, moment or count as databases keep it."""
IntervalStart = Annotated[int, Field(ge=0, lt=2**32, description="Start of an interval [epoch s]")]
"""As the contracts keep it."""
Document = Annotated[dict[str, Any], Field(description="Published as it is; the message names its keccak256")]
# Checked with the rest of the wish (new_api_key), so that all that is wrong is named at once.
ScopeName = Annotated[str, WithJsonSchema({"type": "string", "enum": [scope.value for scope in Scope]})]

MAX_BIDS_A_CALL = 400
_SIGNATURE = "0x" + "ab" * 64 + "1b"
_ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


_BID = {"index": 7, "price_ueur_kwh": 96_000, "quantity": 1200, "minimum": 0, "revision": 0, "signature": _SIGNATURE}


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": fields})


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SignedMessage(Body):
    """A decision as an EIP-712 message (fields in snake_case, bytes as 0x hex) and its signature."""

    message: dict[str, Any]
    signature: HexSignature


class SignedMessageWithReason(SignedMessage):
    reason: Document


class SignedVerdict(SignedMessage):
    reasons: Document


class Signature(Body):
    model_config = _example(signature=_SIGNATURE)

    signature: HexSignature


class Siwe(Body):
    """A signed EIP-4361 message."""

    model_config = _example(
        message="market.example wants you to sign in with your Ethereum account:\n0x7099…", signature=_SIGNATURE
    )

    message: Annotated[str, Field(max_length=4096)]
    signature: HexSignature


class NewApiKey(Body):
    model_config = _example(label="home automation", scopes=["read", "bids"], nanogrid=65_543)

    label: Annotated[str, Field(min_length=1, max_length=32)]
    scopes: Annotated[list[ScopeName], Field(min_length=1, max_length=20)]
    nanogrid: Number | None = None
    expires_at: Number | None = None


class SignedBid(Body):
    """A bid's fields and the compact or full signature of its seat's signer."""

    index: Annotated[int, Field(ge=0, le=65_535)]
    price_ueur_kwh: int
    quantity: int
    minimum: int = 0
    revision: Annotated[int, Field(ge=0, le=3)] = 0
    signature: HexSignature

    model_config = _example(**_BID)


class Bids(Body):
    model_config = _example(bids=[_BID])

    bids: Annotated[list[SignedBid], Field(min_length=1, max_length=MAX_BIDS_A_CALL)]


class IntervalOf(Body):
    model_config = _example(interval=1_463_738_400)

    interval: IntervalStart


class Permit(Body):
    """An ERC-2612 permit for Settlement over `amount_ueur`, signed by the holder of the tokens."""

    model_config = _example(amount_ueur=250_000_000, deadline=1_463_742_000, signature=_SIGNATURE)

    amount_ueur: Annotated[int, Field(gt=0, lt=2**96)]
    deadline: Annotated[int, Field(gt=0, lt=2**64, description="Until when it holds [epoch s]")]
    signature: HexSignature

    def permit(self) -> TokenPermit:
        return TokenPermit(self.amount_ueur, self.deadline, self.signature)


class BondPermit(Permit):
    model_config = _example(amount_ueur=40_000_000, deadline=1_463_742_000, signature=_SIGNATURE, **{"from": _ADDRESS})

    from_: Annotated[Address, Field(alias="from", description="The nanogrid's owner, whose tokens they are")]


class RawTransaction(Body):
    model_config = _example(raw_transaction="0x02f8…")

    raw_transaction: Annotated[str, Field(pattern=r"^0x([0-9a-fA-F]{2})+$", max_length=262_144)]


CertificateRequest = Annotated[
    str,
    Field(
        max_length=MAX_REQUEST_CHARACTERS,
        description="PKCS #10 in PEM, of a key on P-256 or P-384, for the gateway's address in lower case",
    ),
]


class EnrolmentOfGateway(Body):
    """A one-time code's and a gateway's signatures over Enrolment(nanogrid, gateway), and the gateway's over an
    Envelope of the market's nonce. certificate_request: for a broker that asks for certificates."""

    model_config = _example(
        nanogrid=65_543, gateway=_ADDRESS, code_signature=_SIGNATURE, gateway_signature=_SIGNATURE, nonce="5f…",
        access_signature=_SIGNATURE,
    )  # fmt: skip

    nanogrid: Number
    gateway: Address
    code_signature: HexSignature
    gateway_signature: GatewayHexSignature
    nonce: Annotated[str, Field(min_length=8, max_length=64)]
    access_signature: GatewayHexSignature
    certificate_request: CertificateRequest | None = None


class RenewalOfCertificate(Body):
    """The gateway's signature over an Envelope of the market's nonce, and its request for a certificate."""

    model_config = _example(
        gateway=_ADDRESS, nonce="5f…", access_signature=_SIGNATURE, certificate_request="-----BEGIN CERTIFICATE REQ…"
    )

    gateway: Address
    nonce: Annotated[str, Field(min_length=8, max_length=64)]
    access_signature: GatewayHexSignature
    certificate_request: CertificateRequest
