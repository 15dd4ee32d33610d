"""The OpenAPI description, finished in one place: what stands before or behind every route, and examples of answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI

from market.api.message_schemas import message_schema
from market.api.problems import described_problem
from market.domain.problems import PROBLEM_TYPE

Json = dict[str, Any]

EXAMPLES: Final[dict[str, Json]] = json.loads(Path(__file__).with_name("examples.json").read_text(encoding="utf-8"))
"""Route → what it answered in a test run, its lists cut to one item; tests/api/test_examples.py holds them to it."""

_PROBLEM: Final[Json] = {
    "title": "Problem",
    "description": "RFC 9457. Further members are the arguments of the refusal, by its code.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "Its last part is the stable code"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One sentence for people"},
        "errors": {
            "type": "array",
            "description": "All that is wrong, at once",
            "items": {
                "type": "object",
                "required": ["pointer", "value", "rule"],
                "properties": {
                    "pointer": {"type": "string", "description": "Where: a JSON pointer"},
                    "value": {"description": "What was sent"},
                    "rule": {"type": "string", "description": "What it must be"},
                },
            },
        },
    },
    "example": {
        "type": PROBLEM_TYPE + "validation-failed",
        "title": "The input is not valid",
        "status": 422,
        "detail": "See the list of errors.",
        "errors": [{"pointer": "/scopes/0", "value": "fly", "rule": "must be one of read, bids, decisions, account"}],
    },
}
_IDEMPOTENCY_KEY: Final[Json] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "One's own name of this call: sent again under it with the same body, it is answered as before.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
}
_TOO_MANY: Final[Json] = described_problem("The caller or its address calls too often") | {
    "headers": {
        "Retry-After": {"description": "When to call again [s]", "required": True, "schema": {"type": "integer"}}
    }
}


def describe(app: FastAPI) -> None:
    """Serve the finished description in place of FastAPI's own, which knows neither problems nor examples."""
    generate = app.openapi

    def finished() -> Json:
        if app.openapi_schema is None:
            _finish(generate())
        return generate()  # which keeps it

    app.openapi = finished  # type: ignore[method-assign]


def _finish(schema: Json) -> None:
    components = schema["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        components.pop(unused, None)
    components["Problem"] = _PROBLEM
    signed = {name for name in components if name.startswith("SignedMessage") or name == "SignedVerdict"}
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            if method == "post":
                route.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
            route["responses"].pop("422", None)
            route["responses"] |= {"429": _TOO_MANY} | {
                status: described_problem(sentence) for status, sentence in _problems(method, route)
            }
            _describe_message(components, route)
            _show_example(f"{method.upper()} {path}", route)
    for name in signed:
        del components[name]


def _describe_message(components: Json, route: Json) -> None:
    """In a decision's body, the message of its kind, which the body's example is named after."""
    body = route.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = components.get(body.get("schema", {}).get("$ref", "").rpartition("/")[2], {})
    if "message" not in schema.get("properties", {}) or "examples" not in body:
        return
    [name] = body["examples"]
    components[name] = message_schema(name)
    message = {"$ref": f"#/components/schemas/{name}"}
    body["schema"] = schema | {"title": f"Signed{name}", "properties": schema["properties"] | {"message": message}}


def _problems(method: str, route: Json) -> Iterator[tuple[str, str]]:
    """(status, sentence) of the problems that a route may answer with."""
    changes, has_body, is_secured = method == "post", "requestBody" in route, "security" in route
    if has_body:
        yield "400", "The body is not JSON"
    if is_secured:
        yield "401", "Nobody is signed in, or the token is unknown, revoked or expired"
        if changes:
            yield "402", "The account has not the money for it"
        yield "403", "It is not the caller's to see or do"
    if has_body or route.get("parameters"):
        yield "404", "What the call names does not exist"
    if changes:
        yield "409", "It cannot be done in the present state, or has been done"
        yield "408", "The body came too slowly"
        yield "413", "The body is too large"
        yield "415", "The body is no JSON by its media type"
    if has_body or route.get("parameters"):
        yield "422", "The input is not valid: all errors at once"
    yield "503", "Database or chain do not answer, or the chain has not done it yet: send it again"


def _show_example(name: str, route: Json) -> None:
    if name not in EXAMPLES:
        return
    answered = next(answer for status, answer in route["responses"].items() if status.startswith("2"))
    answered["content"]["application/json"]["example"] = EXAMPLES[name]
