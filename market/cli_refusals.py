"""How every command refuses: exit code 2, in words on standard error, with --json as one problem document besides.

It imports little, since the gateway's commands on a small board refuse by it too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import typer

from market.domain.errors import MeritgridError
from market.domain.problems import problem_document, problem_of
from market.plain_words import of_file

REFUSED_EXIT: Final = 2


def refusal(problem: Mapping[str, Any], text: str, as_json: bool) -> typer.Exit:
    """Tells a refusal to people and, on demand, to programs; the exit to raise."""
    if as_json:
        typer.echo(json.dumps(problem, default=str))
    typer.echo(text, err=True)
    return typer.Exit(REFUSED_EXIT)


def refusal_of(error: MeritgridError, as_json: bool) -> typer.Exit:
    """The same for a refusal of the domain, with every violation."""
    text = "\n".join([f"{error.title}: {error.sentence}", *(f"  {each}" for each in error.violations)])
    return refusal(problem_of(error), text, as_json)


def local_refusal(code: str, title: str, detail: str, as_json: bool) -> typer.Exit:
    """The same for what is wrong on this side of the line: the detail says it all to people."""
    return refusal(problem_document(code, title, detail), detail, as_json)


@contextmanager
def starting(who: str, as_json: bool, *kinds: type[Exception]) -> Iterator[None]:
    """What keeps a process from starting is said without a traceback. kinds: the errors that its user can mend."""
    try:
        yield
    except kinds as problem:
        title = f"{who} cannot start"
        reason = of_file(problem) if isinstance(problem, OSError) else str(problem)
        raise refusal(problem_document("cannot-start", title, reason), f"{title}: {reason}", as_json) from problem
