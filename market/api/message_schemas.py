"""JSON schemas of the signed messages, from their EIP-712 types: what a decision's `message` holds."""

from __future__ import annotations

import re
from typing import Any, Final

from market.domain.messages import MESSAGES

Json = dict[str, Any]

_INTEGER: Final = re.compile(r"(u?)int(\d+)")


def message_schema(name: str) -> Json:
    """Schema of a message by the name of its type, with every field required and none beside them."""
    kind = MESSAGES[name]
    return {
        "title": name,
        "description": f"{kind.TYPE}, signed in the domain of {kind.CONTRACT}.",
        "type": "object",
        "required": [field.name for field in kind.FIELDS],
        "additionalProperties": False,
        "properties": {field.name: _field_schema(field.solidity_type) for field in kind.FIELDS},
    }


def _field_schema(solidity_type: str) -> Json:
    if solidity_type.endswith("[]"):
        return {"type": "array", "items": _field_schema(solidity_type[:-2])}
    if solidity_type == "bool":
        return {"type": "boolean"}
    if solidity_type == "address":
        return {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"}
    if solidity_type == "bytes32":
        return {"type": "string", "pattern": "^0x[0-9a-fA-F]{64}$"}
    if solidity_type == "bytes":
        return {"type": "string", "pattern": "^0x([0-9a-fA-F]{2})*$"}
    integer = _INTEGER.fullmatch(solidity_type)
    if integer is None:
        raise ValueError(f"no schema for the type {solidity_type}")
    bits = int(integer[2])
    low, high = (0, 2**bits - 1) if integer[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return {"type": "integer", "minimum": low, "maximum": high}
