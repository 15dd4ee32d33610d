"""What the market's command-line tools share: how they reach the market, whose key signs, how they show and refuse.

Every command of this kind talks to the market's public API like anybody else. With --json it prints exactly one JSON
document on standard output, a problem document where it refuses; what helps a person goes to standard error.
"""

from __future__ import annotations

import functools
import inspect
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer
from rich.console import Console
from rich.table import Table

from market.cli_refusals import local_refusal, refusal, refusal_of
from market.desks.desk import Desk
from market.desks.market_client import MarketClient, MarketProblem, MarketUnavailable
from market.domain.errors import MeritgridError
from market.domain.intervals import from_iso, iso
from market.domain.problems import problem_document
from market.domain.units import UEUR_PER_EUR
from market.plain_words import in_words, of_file
from market.settings import KeySource, SettingsError, load_private_key

PATIENCE_S: Final = 8.0
"""How long a command tries again while the market does not answer [s]."""
_SILENT_S: Final = 2.0

out = Console()
err = Console(stderr=True)

MarketUrl = Annotated[
    str, typer.Option("--market", envvar="MERITGRID_MARKET_URL", help="Base URL of the market's API.")
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        envvar="MERITGRID_KEY_FILE",
        help="File (mode 600) with the private key of whoever acts: 64 hex digits, or a keystore.",
    ),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file", envvar="MERITGRID_PASSWORD_FILE", help="File (mode 600) with the keystore's password."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
LOCAL_MARKET: Final = "http://127.0.0.1:8080"


def moment(text: str) -> int:
    """Epoch seconds of '1463738400' or '2016-05-20T10:00Z' (an offset is needed). Raises typer.BadParameter."""
    if text.lstrip("-").isdigit():
        return int(text)
    try:
        return from_iso(text)
    except ValueError as problem:
        raise typer.BadParameter(
            f"{text!r} is neither epoch seconds nor ISO 8601 with an offset, such as 2026-05-20T10:00Z"
        ) from problem


def hash_of(text: str) -> str:
    """A 32-byte id as the market writes it. Raises typer.BadParameter."""
    digits = text.lower().removeprefix("0x")
    if len(digits) != 64 or any(digit not in "0123456789abcdef" for digit in digits):
        raise typer.BadParameter(f"{text!r} is no id: 0x and 64 hexadecimal digits")
    return f"0x{digits}"


@contextmanager
def refusals(as_json: bool = False) -> Iterator[None]:
    """Whatever the user can mend is said in words, with exit code 2 and without a traceback."""
    try:
        yield
    except MarketProblem as problem:
        raise refusal(problem.problem, problem.describe(), as_json) from problem
    except MeritgridError as problem:
        raise refusal_of(problem, as_json) from problem
    except (MarketUnavailable, httpx.TransportError) as problem:
        title = "The market cannot be reached"
        document = problem_document("market-unreachable", title, in_words(problem))
        raise refusal(document, f"{title}: {in_words(problem)}", as_json) from problem
    except SettingsError as problem:
        raise local_refusal("wrong-setting", "A setting or a key cannot be used", str(problem), as_json) from problem
    except OSError as problem:
        raise local_refusal("wrong-file", "A file cannot be used", of_file(problem), as_json) from problem
    except (httpx.InvalidURL, ValueError) as problem:
        raise local_refusal("wrong-value", "A value cannot be used", str(problem), as_json) from problem


def key_of(key_file: Path | None, password_file: Path | None = None) -> bytes:
    """The private key that acts. Raises SettingsError."""
    if key_file is None:
        raise SettingsError("This needs a key: give --key-file, or set MERITGRID_KEY_FILE.")
    return load_private_key(KeySource(file=key_file, password_file=password_file))


@contextmanager
def session(
    market: str, key_file: Path | None = None, as_json: bool = False, password_file: Path | None = None
) -> Iterator[MarketClient]:
    """The market's API, signed in where a key is given; refusals end the command."""
    with refusals(as_json):
        key = None if key_file is None else "0x" + key_of(key_file, password_file).hex()
        with MarketClient(market, private_key=key, patience_s=PATIENCE_S) as client, waiting("Asking the market"):
            yield client


@contextmanager
def signing_session(
    market: str, key_file: Path | None, as_json: bool = False, password_file: Path | None = None
) -> Iterator[Desk]:
    """A desk that signs decisions with the key of a file and posts them; refusals end the command."""
    with refusals(as_json):
        key = key_of(key_file, password_file)
        with (
            MarketClient(market, private_key="0x" + key.hex(), patience_s=PATIENCE_S) as client,
            waiting("Waiting for the market and the chain"),
        ):
            yield Desk(client, key)


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show on a terminal that something goes on, once it has taken two seconds."""
    status = err.status(text)
    timer = threading.Timer(_SILENT_S, status.start)
    timer.daemon = True
    if err.is_terminal:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if timer.is_alive():
            timer.join()  # it may be starting the status just now
        status.stop()


def show(document: Mapping[str, Any], as_json: bool, title: str) -> None:
    """A document: as it is in JSON, else as a table of its fields."""
    if as_json:
        typer.echo(json.dumps(document))
        return
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in document.items():
        table.add_row(name.replace("_", " "), shown(name, value))
    out.print(table)


def show_list(items: Iterable[Mapping[str, Any]], columns: Sequence[str], as_json: bool, title: str) -> None:
    """A list: all of it as {"items": […]} in JSON, else a table of the named columns."""
    rows = list(items)
    if as_json:
        typer.echo(json.dumps({"items": rows}))
        return
    if not rows:
        out.print(f"{title}: none.")
        return
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(shown(column, row.get(column)) for column in columns))
    out.print(table)


def say(document: Mapping[str, Any], as_json: bool, sentence: str) -> None:
    """What an action has done: the answer in JSON, else one sentence."""
    typer.echo(json.dumps(document) if as_json else sentence)


_MOMENTS: Final = frozenset(
    {
        "interval", "first_interval", "gate_closure", "api_closes_at", "opened_at", "cleared_at", "final_at", "at",
        "published_at", "received_at", "lease_end", "given_at", "expires_at", "created_at", "decide_by", "placed_at",
        "unbonding_available_at", "settled_at", "granted_at", "last_used_at", "revoked_at",
    }
)  # fmt: skip


def shown(name: str, value: Any) -> str:
    """A field as people read it: moments in ISO 8601, micro-euro beside euro, long hashes whole."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in _MOMENTS and isinstance(value, int):
        return iso(value)
    if name.endswith("_ueur") and isinstance(value, int):
        return in_euro(value)
    if isinstance(value, dict | list):
        return json.dumps(value)
    return str(value)


def name_of(kind: type[IntEnum], code: Any) -> str:
    """Name of a code of the protocol; the code itself where it has none."""
    try:
        return kind(code).name
    except ValueError:
        return str(code)


def in_euro(amount_ueur: int) -> str:
    """Micro-euro for people."""
    return f"{amount_ueur / UEUR_PER_EUR:,.6f} EUR"


@dataclass(frozen=True, slots=True)
class Access:
    """How a command reaches the market, whose key signs, and how it answers: the options that most commands share."""

    market: str
    key_file: Path | None
    password_file: Path | None
    as_json: bool

    def client(self) -> AbstractContextManager[MarketClient]:
        """The market's API, signed in where a key is given; refusals end the command."""
        return session(self.market, self.key_file, self.as_json, self.password_file)

    def signing(self) -> AbstractContextManager[Desk]:
        """A desk that signs with the key; refusals end the command."""
        return signing_session(self.market, self.key_file, self.as_json, self.password_file)

    def say(self, document: Mapping[str, Any], sentence: str) -> None:
        say(document, self.as_json, sentence)

    def show(self, document: Mapping[str, Any], title: str) -> None:
        show(document, self.as_json, title)

    def show_list(self, items: Iterable[Mapping[str, Any]], columns: Sequence[str], title: str) -> None:
        show_list(items, columns, self.as_json, title)


_ACCESS_OPTIONS: Final = {
    "market": (MarketUrl, LOCAL_MARKET),
    "key_file": (KeyFile, None),
    "password_file": (PasswordFile, None),
    "as_json": (AsJson, False),
}


def with_access(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose first parameter `access` is made of the shared options, which follow its own in --help."""
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _ACCESS_OPTIONS.items()
    ]
    parameters = [*(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own), *shared]

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        access = Access(**{name: arguments.pop(name) for name in _ACCESS_OPTIONS})
        command(access, **arguments)

    # Typer reads both.
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run
