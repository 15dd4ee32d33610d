"""Problem documents (RFC 9457): the one form in which the API and the command line state a refusal for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from market.domain.errors import MeritgridError, Violation

PROBLEM_TYPE: Final = "https://meritgrid.example/problems/"
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def violation_document(violation: Violation) -> dict[str, Any]:
    """One entry of a problem's `errors`."""
    value = violation.value
    shown = value if isinstance(value, (str, int, float, bool, type(None), list, dict)) else str(value)
    return {"pointer": violation.pointer, "value": shown, "rule": violation.rule}


def problem_document(
    code: str, title: str, detail: str, errors: Sequence[Mapping[str, Any]] = (), fields: Mapping[str, Any] = _NOTHING
) -> dict[str, Any]:
    """The document of a code, with further fields; `errors` is there only when something is in it."""
    document: dict[str, Any] = {"type": PROBLEM_TYPE + code, "title": title, "detail": detail}
    if errors:
        document["errors"] = list(errors)
    shown = {
        name: "0x" + value.hex() if isinstance(value, bytes) else value
        for name, value in fields.items()
        if name not in document
    }
    return document | shown


def problem_of(error: MeritgridError) -> dict[str, Any]:
    """The problem document of a refusal."""
    errors = [violation_document(violation) for violation in error.violations]
    return problem_document(error.code, error.title, error.sentence, errors, error.fields)
