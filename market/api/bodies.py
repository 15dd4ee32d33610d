"""What the API takes: request bodies. Signed messages are checked by their own types (market.domain.messages)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from market.domain.typed_data import checksum_address
from market.services.accounts import TokenPermit

HexSignature = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{128}([0-9a-fA-F]{2})?$", description="64 or 65 bytes")]
Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$"), AfterValidator(checksum_address)]
Hash = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{64}$", description="32 bytes")]
Document = Annotated[dict[str, Any], Field(description="Published as it is; the message names its keccak256")]

MAX_BIDS_A_CALL = 400


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
    signature: HexSignature


class Siwe(Body):
    """A signed EIP-4361 message."""

    message: Annotated[str, Field(max_length=4096)]
    signature: HexSignature


class NewApiKey(Body):
    label: Annotated[str, Field(min_length=1, max_length=80)]
    scopes: Annotated[list[str], Field(min_length=1, max_length=20)]
    nanogrid: int | None = None
    expires_at: int | None = None


class SignedBid(Body):
    """A bid's fields and the compact or full signature of its seat's signer."""

    index: Annotated[int, Field(ge=0, le=65_535)]
    price_ueur_kwh: int
    quantity: int
    minimum: int = 0
    revision: Annotated[int, Field(ge=0, le=3)] = 0
    signature: HexSignature

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "index": 7,
                "price_ueur_kwh": 96_000,
                "quantity": 1200,
                "minimum": 0,
                "revision": 0,
                "signature": "0x" + "ab" * 64,
            }
        }
    )


class Bids(Body):
    bids: Annotated[list[SignedBid], Field(min_length=1, max_length=MAX_BIDS_A_CALL)]


class IntervalOf(Body):
    interval: int


class Permit(Body):
    """An ERC-2612 permit for Settlement over `amount_ueur`, signed by the holder of the tokens."""

    amount_ueur: Annotated[int, Field(gt=0, lt=2**96)]
    deadline: Annotated[int, Field(gt=0, lt=2**64, description="Until when it holds [epoch s]")]
    signature: HexSignature

    def permit(self) -> TokenPermit:
        return TokenPermit(self.amount_ueur, self.deadline, self.signature)


class BondPermit(Permit):
    from_: Annotated[Address, Field(alias="from", description="The nanogrid's owner, whose tokens they are")]


class RawTransaction(Body):
    raw_transaction: Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]+$", max_length=262_144)]


class EnrolmentOfGateway(Body):
    """A one-time code's and a gateway's signatures over Enrolment(nanogrid, gateway)."""

    nanogrid: int
    gateway: Address
    code_signature: HexSignature
    gateway_signature: HexSignature
