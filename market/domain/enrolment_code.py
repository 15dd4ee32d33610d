"""One-time enrolment codes: what an installer types to bind a gateway to its nanogrid.

A code names the nanogrid and carries a secret of 128 bits from which the code's private key is derived; the operator
opens the enrolment on the chain for the key's address (`openEnrolment`). Text: base32 of nanogrid (6 bytes), secret
(16 bytes) and checksum (4 bytes of keccak256 of both), in groups of six characters; case, spaces and dashes are free.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from dataclasses import dataclass
from typing import Final

from market.domain.errors import MeritgridError
from market.domain.hashing import keccak256
from market.domain.signing import address_of
from market.domain.units import require_range

_NANOGRID_BYTES: Final = 6
_SECRET_BYTES: Final = 16
_CHECKSUM_BYTES: Final = 4
_GROUP: Final = 6
_KEY_PREFIX: Final = b"Meritgrid enrolment code"


class MalformedCode(MeritgridError):
    """A text that is no enrolment code, or a mistyped one."""

    def __init__(self, sentence: str) -> None:
        super().__init__("malformed-enrolment-code", "The enrolment code is malformed", sentence)


@dataclass(frozen=True, slots=True)
class EnrolmentCode:
    """A code for one nanogrid. `secret`: 16 bytes; keep it off logs."""

    nanogrid: int
    secret: bytes

    def __post_init__(self) -> None:
        require_range("nanogrid", self.nanogrid, 0, 2**48 - 1)
        if len(self.secret) != _SECRET_BYTES:
            raise ValueError(f"a code's secret has {_SECRET_BYTES} bytes, not {len(self.secret)}")

    @classmethod
    def new(cls, nanogrid: int) -> EnrolmentCode:
        """A fresh code."""
        return cls(nanogrid, secrets.token_bytes(_SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> EnrolmentCode:
        """The code of a typed text; MalformedCode when it is none."""
        letters = re.sub(r"[\s-]", "", text).upper()
        try:
            raw = base64.b32decode(letters + "=" * (-len(letters) % 8))
        except (binascii.Error, ValueError):
            raise MalformedCode("An enrolment code has letters and the digits 2 to 7 only.") from None
        body, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
        if len(body) != _NANOGRID_BYTES + _SECRET_BYTES:
            raise MalformedCode("The enrolment code is too short or too long.")
        if keccak256(body)[:_CHECKSUM_BYTES] != checksum:
            raise MalformedCode("The enrolment code is mistyped: its checksum does not fit.")
        return cls(int.from_bytes(body[:_NANOGRID_BYTES], "big"), body[_NANOGRID_BYTES:])

    @property
    def text(self) -> str:
        """The text to hand over, for example K3JQ2A-…."""
        body = self._body()
        letters = base64.b32encode(body + keccak256(body)[:_CHECKSUM_BYTES]).decode().rstrip("=")
        return "-".join(letters[at : at + _GROUP] for at in range(0, len(letters), _GROUP))

    @property
    def private_key(self) -> bytes:
        """The code's private key, 32 bytes."""
        return keccak256(_KEY_PREFIX + self._body())

    @property
    def address(self) -> str:
        """Address of the code's key (EIP-55), for `openEnrolment`."""
        return address_of(self.private_key)

    def _body(self) -> bytes:
        return self.nanogrid.to_bytes(_NANOGRID_BYTES, "big") + self.secret
