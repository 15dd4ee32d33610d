"""`meritgrid gateway`: enrol a gateway, run the agent, look at a gateway and overrule it."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import structlog
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from gateway_agent.agent import run_agent
from gateway_agent.buffer import Buffer
from gateway_agent.clock_check import Standing
from gateway_agent.configuration import (
    BROKER_FILE,
    BUFFER_FILE,
    KEY_FILE,
    BadConfiguration,
    load_enrolled,
    load_settings,
)
from gateway_agent.drivers import DriverError
from gateway_agent.drivers.registry import driver_of
from gateway_agent.enrolment import EnrolmentRefused, enrol
from gateway_agent.identity import UnsafeFile, load_identity, load_or_create_identity
from gateway_agent.renewal import renew_now
from market.cli_refusals import local_refusal, refusal, refusal_of
from market.clock import ClockRefused, clock_from
from market.domain.errors import MeritgridError
from market.domain.gateway_key import KeyKind
from market.plain_words import in_words, of_file
from market.redaction import without_secrets

app = typer.Typer(help="The agent at the nanogrid: measures, signs, bids and follows dispatch.", no_args_is_help=True)
console = Console()

DELEGATE_KEY_FILE: Final = "delegate.key"
DEFAULT_FOLDER = Path("/var/lib/meritgrid/gateway")

Folder = Annotated[Path, typer.Option("--data", help="Folder of the gateway: gateway.toml, key, buffer.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


_CODES: Final = {
    BadConfiguration: ("wrong-setting", "The gateway's settings cannot be used"),
    UnsafeFile: ("wrong-file", "A file cannot be used"),
    ClockRefused: ("clock-refused", "The simulated clock refuses"),
    DriverError: ("driver-failed", "The plant cannot be driven"),
    OSError: ("wrong-file", "A file cannot be used"),
    ValueError: ("wrong-value", "A value cannot be used"),
}
"""Code and title of what the user can mend, by the first kind that fits."""


@contextmanager
def _refusals(as_json: bool) -> Iterator[None]:
    """What the user can mend is said in a sentence, with exit code 2 and no traceback; with --json as a problem too."""
    try:
        yield
    except MeritgridError as problem:
        raise refusal_of(problem, as_json) from None
    except EnrolmentRefused as problem:
        raise refusal(problem.problem, str(problem), as_json) from None
    except tuple(_CODES) as problem:
        code, title = next(text for kind, text in _CODES.items() if isinstance(problem, kind))
        text = of_file(problem) if isinstance(problem, OSError) else str(problem)
        raise local_refusal(code, title, text, as_json) from None
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        title = "The market cannot be reached"
        raise local_refusal("market-unreachable", title, f"{title}: {in_words(problem)}", as_json) from None
    except SQLAlchemyError as problem:
        text = f"{type(problem).__name__}: {problem}"
        raise local_refusal("buffer-unusable", "The gateway's buffer cannot be used", text, as_json) from None


@app.command("enrol")
def enrol_command(
    code: Annotated[str, typer.Option(help="The one-time code that the operator gave out for this nanogrid.")],
    market: Annotated[str, typer.Option(help="Address of the market, for example https://market.example.")],
    data: Folder = DEFAULT_FOLDER,
    key_kind: Annotated[
        KeyKind | None,
        typer.Option(help="Kind of the key, when it is made: secp256k1 (default), or p256 if the chain can check it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bind this gateway to its nanogrid. Makes the gateway's own key on the first start; may be repeated.

    gateway.toml is checked before the code is used.

    Example: meritgrid gateway enrol --code MG1-… --market https://market.example --data /var/lib/meritgrid/gateway
    """
    waiting = Console(stderr=True).status("Enrolling: the market binds the gateway on the chain")
    with _refusals(as_json), waiting, httpx.Client(timeout=60.0) as client:
        # What the installer wrote comes first: a code is good for one time, a wrong file must not cost it.
        driver_of(load_settings(data).driver, data)
        enrolled = enrol(data, code, market.rstrip("/"), client, key_kind)
    document = {"nanogrid": enrolled.nanogrid, "gateway": enrolled.gateway, "node": enrolled.node}
    _say(document, as_json, f"Gateway {enrolled.gateway} serves nanogrid {enrolled.nanogrid}.")


@app.command("delegate-key")
def delegate_key_command(data: Folder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Make the key that bids for the owner, delegate.key, and show its address; may be repeated.

    The owner seats it with `meritgrid delegate set`; the key itself never leaves the gateway.

    Example: meritgrid gateway delegate-key --data /var/lib/meritgrid/gateway
    """
    with _refusals(as_json):
        address = load_or_create_identity(data / DELEGATE_KEY_FILE, KeyKind.SECP256K1).address
    _say({"address": address, "file": DELEGATE_KEY_FILE}, as_json, f"{address} ({data / DELEGATE_KEY_FILE})")


@app.command("certificate")
def certificate_command(data: Folder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Get another certificate for the broker at once: after the present one was revoked, or to be rid of its key.

    The agent renews it by itself in time, and uses the new one at its next connection.

    Example: meritgrid gateway certificate --data /var/lib/meritgrid/gateway
    """
    with _refusals(as_json):
        end = asyncio.run(renew_now(data))
    _say({"file": BROKER_FILE, "end": end}, as_json, f"The certificate in {data / BROKER_FILE} holds until {end}.")


@app.command("run")
def run_command(
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            help="Folder of a gateway; several may be given.",
            show_default=str(DEFAULT_FOLDER),
        ),
    ] = None,
    clock: Annotated[str, typer.Option(envvar="MERITGRID_CLOCK", help="system, or simulated:host:port.")] = "system",
    name: Annotated[str, typer.Option(help="Name of this process at the simulated clock.")] = "gateway-agent",
    clock_token: Annotated[str, typer.Option(envvar="MERITGRID_CLOCK_TOKEN", help="Its token there.")] = "",
    metrics: Annotated[Path | None, typer.Option(help="File for the counters, in Prometheus' text format.")] = None,
    log_level: Annotated[
        str, typer.Option(envvar="MERITGRID_LOG_LEVEL", help="DEBUG, INFO, WARNING or ERROR.")
    ] = "INFO",
    as_json: Annotated[bool, typer.Option("--json", help="Each line of the log as a JSON object.")] = False,
) -> None:
    """Run the agent for one or several enrolled gateways until it is told to stop.

    Example: meritgrid gateway run --data /var/lib/meritgrid/gateway
    """
    _log_to_stderr(log_level, as_json)
    with _refusals(as_json):
        asyncio.run(run_agent(data or [DEFAULT_FOLDER], clock_from(clock, name, clock_token), metrics))


@app.command("status")
def status_command(data: Folder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Show a gateway: readings and what waits, dispatches, the hash chain, the owner's journal.

    Example: meritgrid gateway status --data /var/lib/meritgrid/gateway
    """
    with _refusals(as_json):
        document = _status(data)
    if as_json:
        typer.echo(json.dumps(document))
        return
    table = Table(title=f"Gateway {document['gateway']}", show_header=False)
    for key, value in document.items():
        if key not in {"journal", "gateway"}:
            table.add_row(key.replace("_", " "), json.dumps(value) if isinstance(value, dict | list) else str(value))
    console.print(table)
    for entry in document["journal"]:
        console.print(
            f"{datetime.fromtimestamp(entry.pop('at'), UTC):%Y-%m-%d %H:%M:%S}Z {entry.pop('event')}: {entry}"
        )


def _status(folder: Path) -> dict[str, Any]:
    enrolled, settings = load_enrolled(folder), load_settings(folder)
    buffer = Buffer(folder / BUFFER_FILE, settings.storage.most_megabytes)
    try:
        broken = buffer.broken_link(enrolled.settlement)
        return {
            "gateway": load_identity(folder / KEY_FILE).address,
            "nanogrid": enrolled.nanogrid,
            "sequence": buffer.head().sequence,
            "readings": buffer.counts(),
            "hash_chain": "whole" if broken is None else f"broken before sequence {broken}",
            "clock": buffer.value("clock") or {"standing": Standing.UNKNOWN.value},
            "last_boundary": buffer.value("boundary"),
            "applied": buffer.value("applied"),
            "open_dispatches": {id_: each.state.name for id_, each in buffer.dispatches(only_open=True).items()},
            "stopped_by_owner": bool(buffer.value("stopped")),
            "opted_out": buffer.value("opt_out") or [],
            "journal": buffer.journal(10),
        }
    finally:
        buffer.close()


@app.command("stop")
def stop_command(data: Folder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """The owner's stop: no dispatch is followed any more, until `release`. It wins over everything.

    Example: meritgrid gateway stop --data /var/lib/meritgrid/gateway
    """
    _keep(data, "stopped", True, as_json)
    _say({"stopped_by_owner": True}, as_json, "Remote control is stopped.")


@app.command("release")
def release_command(data: Folder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Allow remote control again.

    Example: meritgrid gateway release --data /var/lib/meritgrid/gateway
    """
    _keep(data, "stopped", False, as_json)
    _say({"stopped_by_owner": False}, as_json, "Remote control is allowed.")


@app.command("opt-out")
def opt_out_command(
    day: Annotated[str, typer.Option(help="Local day, YYYY-MM-DD; today when it is left out.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Bid on that day after all.")] = False,
    data: Folder = DEFAULT_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Send no bids for a day.

    Example: meritgrid gateway opt-out --day 2026-12-24
    """
    with _refusals(as_json):
        chosen = date.fromisoformat(day) if day else datetime.now().astimezone().date()
        buffer = _existing_buffer(data)
        days = set(buffer.value("opt_out") or ()) - {chosen.isoformat()}
        buffer.close()
    kept = sorted(days if undo else days | {chosen.isoformat()})
    _keep(data, "opt_out", kept, as_json)
    _say({"opted_out": kept}, as_json, f"{'Bids' if undo else 'No bids'} on {chosen}.")


def _say(document: dict[str, Any], as_json: bool, sentence: str) -> None:
    typer.echo(json.dumps(document) if as_json else sentence)


def _keep(folder: Path, name: str, value: Any, as_json: bool) -> None:
    with _refusals(as_json):
        buffer = _existing_buffer(folder)
        with buffer.transaction() as moment:
            moment.set_value(name, value)
        buffer.close()


def _existing_buffer(folder: Path) -> Buffer:
    load_enrolled(folder)  # says what is wrong with a folder that is no gateway's
    return Buffer(folder / BUFFER_FILE)


def _log_to_stderr(level: str, as_json: bool) -> None:
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise typer.BadParameter(f"no log level {level!r}", param_hint="--log-level")
    rendering: list[structlog.typing.Processor] = [
        # A plain traceback: the default one shows local variables, which may be keys.
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    ]
    if as_json:
        rendering = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *rendering,
            without_secrets,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
