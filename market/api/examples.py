"""Examples of signed decisions for the API's description, made from the messages themselves."""

from __future__ import annotations

from typing import Any

from fastapi import Body

from market.domain.typed_data import Message

_SIGNATURE = "0x" + "ab" * 64 + "1b"


def signed_example(message: Message, **documents: dict[str, Any]) -> Any:
    """A body's annotation with one example: a message, its signature and the documents that it names."""
    value = {"message": message.to_json(), "signature": _SIGNATURE, **documents}
    return Body(openapi_examples={type(message).__name__: {"summary": type(message).__name__, "value": value}})
