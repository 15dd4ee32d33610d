"""Problem documents (RFC 9457): every refusal of the API, with all violations at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import exc
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from market.api.rate_limits import TooManyCalls
from market.domain import problems
from market.domain.errors import Category, MeritgridError, Violation
from market.domain.problems import violation_document
from market.services.access import NotSignedIn

log = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
NO_ANSWER: Final = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, OSError)
"""What is raised where the database or the chain does not answer, or stops to in the midst of a call."""

_STATUS: Final = {
    Category.INVALID: 422,
    Category.FORBIDDEN: 403,
    Category.NOT_FOUND: 404,
    Category.CONFLICT: 409,
    Category.STATE: 409,
    Category.UNAFFORDABLE: 402,
    Category.UNAVAILABLE: 503,
}
_OWN_STATUS: Final[Mapping[type[MeritgridError], int]] = {NotSignedIn: 401, TooManyCalls: 429}
"""Refusals that HTTP has a status of its own for."""


def problem_document(
    code: str, title: str, status: int, detail: str, errors: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """A problem document with the HTTP status that it is served with."""
    return problems.problem_document(code, title, detail, errors, {"status": status})


def described_problem(sentence: str) -> dict[str, Any]:
    """A problem among the answers of a route's description."""
    return {"description": sentence, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def problem_of(error: MeritgridError) -> dict[str, Any]:
    """The problem document of a refusal, with its HTTP status."""
    own = next((status for kind, status in _OWN_STATUS.items() if isinstance(error, kind)), None)
    return problems.problem_of(error) | {"status": own or _STATUS[error.category]}


def problem_response(document: dict[str, Any], headers: Mapping[str, str] | None = None) -> JSONResponse:
    sent = {"WWW-Authenticate": "Bearer"} if document["status"] == 401 else {}
    if document["status"] == 429:
        sent["Retry-After"] = str(document["wait_s"])
    sent |= headers or {}
    return JSONResponse(document, status_code=document["status"], media_type=MEDIA_TYPE, headers=sent)


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


async def _http(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    code = {404: "not-found", 405: "method-not-allowed", 413: "body-too-large", 415: "wrong-media-type"}.get(
        error.status_code, f"http-{error.status_code}"
    )
    title = code.replace("-", " ").capitalize()
    headers = dict(error.headers or {})
    if error.status_code == 405 and (methods := _methods_at(request)):
        headers["Allow"] = ", ".join(methods)  # the router knows those of one of its routes only
    return problem_response(problem_document(code, title, error.status_code, str(error.detail)), headers)


def _methods_at(request: Request) -> list[str]:
    """All methods that the description has for the path of a call."""
    paths = request.app.openapi()["paths"].items()
    found = (methods for path, methods in paths if compile_path(path)[0].fullmatch(request.url.path))
    return sorted({method.upper() for methods in found for method in methods})


def no_answer(request: Request, error: Exception) -> JSONResponse:
    """The answer to a call that one of NO_ANSWER broke off: no fault of the market's, and a line of log is enough."""
    note_no_answer(request, error)
    detail = (
        "The database or the chain does not answer now. Send it again; repeating a call with its Idempotency-Key does "
        "nothing twice."
    )
    return problem_response(problem_document("no-answer", "The market waits for an answer itself", 503, detail))


def note_no_answer(request: Request, error: Exception) -> None:
    """One line of log about a call that one of NO_ANSWER broke off."""
    # The database's own words only: SQLAlchemy adds the statement with its values.
    why = str(getattr(error, "orig", None) or error).strip()
    log.warning("no answer", path=request.url.path, method=request.method, why=why, kind=type(error).__name__)


async def _unanswered(request: Request, error: Exception) -> JSONResponse:
    return no_answer(request, error)


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
    for kind in NO_ANSWER:
        app.add_exception_handler(kind, _unanswered)
    app.add_exception_handler(Exception, _unexpected)
