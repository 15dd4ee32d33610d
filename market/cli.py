"""The one command `meritgrid`: its sub-commands come from whatever parts are installed."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import typer

from market.domain.errors import MeritgridError

COMMANDS_GROUP = "meritgrid.commands"


def build() -> typer.Typer:
    """The application with the sub-commands of all installed parts.

    A part whose libraries are not installed (an extra that was not asked for) is left out.
    """
    app = typer.Typer(
        name="meritgrid",
        help="An open local energy market: traffic light, on-chain merit order, signed metering, settlement.",
        no_args_is_help=True,
        rich_markup_mode="markdown",  # the other mode drops units in brackets
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    entries = sorted(entry_points(group=COMMANDS_GROUP), key=lambda each: each.name)
    # Only the part that is called is loaded: some take seconds, and a small board has not all of them.
    called = [entry for entry in entries if entry.name == next(iter(sys.argv[1:]), None)]
    for entry in called or entries:
        try:
            command = entry.load()
        except ModuleNotFoundError as missing:
            if missing.name is not None and missing.name.partition(".")[0] in {
                "market",
                "oracle",
                "gateway_agent",
                "scripts",
            }:
                raise
            continue
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=entry.name)
        else:
            app.command(entry.name)(command)
    return app


def _root() -> None:
    """Keeps a single part a sub-command."""


def main() -> None:
    """Run the command line; a refusal is told in words, with exit code 2."""
    try:
        build()()
    except MeritgridError as refusal:
        typer.echo(f"{refusal.title}: {refusal}", err=True)
        for violation in refusal.violations:
            typer.echo(f"  {violation}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
