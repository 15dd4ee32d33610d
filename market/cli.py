"""The one command `meritgrid`: its sub-commands come from whatever parts are installed."""

from __future__ import annotations

import json
import sys
from importlib.metadata import entry_points
from typing import Any, cast

import typer

from market.cli_refusals import REFUSED_EXIT, refusal_of
from market.domain.errors import MeritgridError
from market.domain.problems import problem_document

COMMANDS_GROUP = "meritgrid.commands"

UsageError = cast("type[Exception]", typer.BadParameter.__bases__[0])
"""Click's error of that name: Typer has it from click or, in newer versions, in a copy of its own."""


def build() -> typer.Typer:
    """The application with the sub-commands of all installed parts.

    A part whose libraries are not installed (an extra that was not asked for) is left out; when it is the one that is
    called, a MeritgridError names what is missing.
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
            if called:
                sentence = (
                    f"meritgrid {entry.name} needs {missing.name}, which is not installed here: "
                    "install the distribution with the extra that this machine is for, such as meritgrid[market]."
                )
                raise MeritgridError("not-installed", "A library is missing", sentence) from missing
            continue
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=entry.name)
        else:
            app.command(entry.name)(command)
    return app


def _root() -> None:
    """Keeps a single part a sub-command."""


def main() -> None:
    """Run the command line; whatever is refused is told in words, with --json as a problem document too."""
    as_json = "--json" in sys.argv
    try:
        # Typer tells people itself what is wrong with a command line; to programs it would say nothing.
        sys.exit(build()(standalone_mode=not as_json))
    except UsageError as problem:
        wrong: Any = problem
        wrong.show()
        said = wrong.format_message()
        typer.echo(json.dumps(problem_document("wrong-usage", "The command is not used like that", said)))
        sys.exit(REFUSED_EXIT)
    except MeritgridError as refused:
        sys.exit(refusal_of(refused, as_json).exit_code)
    except typer.Abort:
        sys.exit(1)


if __name__ == "__main__":
    main()
