"""`meritgrid market serve|migrate|reindex|verify-deployment`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import typer
from rich.progress import Progress

from market.cli_refusals import local_refusal, starting
from market.cli_session import AsJson, err, refusals, say
from market.observability import logging_as
from market.settings import Settings, SettingsError

app = typer.Typer(help="The market process: API, relayer, clearing.", no_args_is_help=True)


@contextmanager
def _starting(as_json: bool, who: str = "The market") -> Iterator[Settings]:
    """The settings; what keeps it from starting with them is said in words, with exit code 2."""
    from market.chain.deployment import DeploymentError

    with refusals(as_json):
        settings = Settings()
    with starting(who, as_json, SettingsError, DeploymentError):
        yield settings


@app.command()
def serve(as_json: AsJson = False) -> None:
    """Serve the API and act by the calendar. Settings come from the environment (MERITGRID_…) and .env.

    With --json every line of the log is a JSON object.

    Example: MERITGRID_RELAYER_KEY__FILE=relayer.key meritgrid market serve
    """
    from market.server import serve as run

    with _starting(as_json) as settings:
        logging_as(settings.log, "market", as_json)
        run(settings)


@app.command()
def migrate(as_json: AsJson = False) -> None:
    """Bring the database's tables to this version. `serve` does it by itself.

    Example: MERITGRID_DATABASE_URL=postgresql+psycopg://market@localhost/market meritgrid market migrate
    """
    from sqlalchemy import make_url

    from market.store.database import migrate as run

    with _starting(as_json, "The migration") as settings:
        run(settings.database)
    shown = make_url(settings.database).render_as_string(hide_password=True)
    say({"database": shown}, as_json, f"The database is at the newest version: {shown}")


@app.command()
def reindex(as_json: AsJson = False) -> None:
    """Empty everything that is known from the chain, and build it again. Stop the market before.

    Example: meritgrid market reindex
    """
    from market.server import reindex as run

    with _starting(as_json, "The rebuilding") as settings, Progress(console=err, disable=not err.is_terminal) as bars:
        task = bars.add_task("blocks", total=None)
        last = run(settings, lambda done, total: bars.update(task, completed=done, total=total))
    say({"block": last}, as_json, f"Rebuilt from the chain up to block {last}.")


@app.command("verify-deployment")
def verify_deployment(as_json: AsJson = False) -> None:
    """Check that the contracts were created by this version's code, with the parameters in the deployment file.

    Example: MERITGRID_RPC_URL=http://127.0.0.1:8545 meritgrid market verify-deployment
    """
    from market.chain.deployment import DeploymentError, read_deployment
    from market.chain.profiles import connect_from
    from market.chain.verification import verify

    with refusals(as_json):
        settings = Settings()
        try:
            findings = verify(connect_from(settings), read_deployment(settings.deployment_path))
        except DeploymentError as problem:
            raise local_refusal("wrong-deployment", "It cannot be verified", str(problem), as_json) from problem
    differing = [f"{each.name} at {each.address}: {each.problem}" for each in findings if each.problem is not None]
    if differing:
        raise local_refusal("deployment-differs", "The contracts are others", "; ".join(differing), as_json)
    shown = "\n".join(f"{each.name} at {each.address}, created in {each.transaction}" for each in findings)
    say({"contracts": [asdict(each) for each in findings]}, as_json, f"{shown}\nAll are of this version's code.")
