"""Problem documents (RFC 9457): every refusal of the API, with all violations at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from market.domain.errors import Category, MeritgridError, Violation
from market.services.access import NotSignedIn

log = structlog.get_logger(__name__)

PROBLEM_TYPE: Final = "https://meritgrid.example/problems/"
MEDIA_TYPE: Final = "application/problem+json"

_STATUS: Final = {
    Category.INVALID: 422,
    Category.FORBIDDEN: 403,
    Category.NOT_FOUND: 404,
    Category.CONFLICT: 409,
    Category.STATE: 409,
    Category.UNAFFORDABLE: 402,
    Category.UNAVAILABLE: 503,
}


def violation_document(violation: Violation) -> dict[str, Any]:
    """One entry of a problem's `errors`."""
    value = violation.value
    shown = value if isinstance(value, (str, int, float, bool, type(None), list, dict)) else str(value)
    return {"pointer": violation.pointer, "value": shown, "rule": violation.rule}


def problem_document(
    code: str, title: str, status: int, detail: str, errors: Sequence[dict[str, Any]] = (), **fields: Any
) -> dict[str, Any]:
    document: dict[str, Any] = {"type": PROBLEM_TYPE + code, "title": title, "status": status, "detail": detail}
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
    status = 401 if isinstance(error, NotSignedIn) else _STATUS[error.category]
    errors = [violation_document(violation) for violation in error.violations]
    return problem_document(error.code, error.title, status, error.sentence, errors, **error.fields)


def problem_response(document: dict[str, Any]) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if document["status"] == 401 else None
    return JSONResponse(document, status_code=document["status"], media_type=MEDIA_TYPE, headers=headers)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, MeritgridError):
        raise error
    return problem_response(problem_of(error))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    errors = [
        violation_document(
            Violation("/" + "/".join(str(part) for part in found["loc"][1:]), found.get("input"), found["msg"])
        )
        for found in error.errors()
    ]
    if any(found["type"] == "json_invalid" for found in error.errors()):
        return problem_response(problem_document("broken-json", "The body is not JSON", 400, "Broken JSON.", errors))
    return problem_response(
        problem_document("validation-failed", "The input is not valid", 422, "See the list of errors.", errors)
    )


async def _http(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    code = {404: "not-found", 405: "method-not-allowed", 413: "body-too-large", 415: "wrong-media-type"}.get(
        error.status_code, f"http-{error.status_code}"
    )
    title = code.replace("-", " ").capitalize()
    return problem_response(problem_document(code, title, error.status_code, str(error.detail)))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("request failed", path=request.url.path, method=request.method, exc_info=error)
    return problem_response(
        problem_document(
            "internal-error", "The market failed", 500, "The request was not carried out. Send it again; it is logged."
        )
    )


def install(app: FastAPI) -> None:
    """Answer every refusal and failure of an application with a problem document."""
    app.add_exception_handler(MeritgridError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
