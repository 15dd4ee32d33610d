"""`meritgrid market serve|migrate|reindex`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.progress import Progress

from market.cli_refusals import starting
from market.cli_session import AsJson, err, refusals, say
from market.observability import logging_as
from market.settings import Settings, SettingsError

app = typer.Typer(help="The market process: API, relayer, clearing.", no_args_is_help=True)


@contextmanager
def _starting(as_json: bool) -> Iterator[Settings]:
    """The settings; what keeps the market from starting with them is said in words, with exit code 2."""
    from market.chain.deployment import DeploymentError

    with refusals(as_json):
        settings = Settings()
    with starting("The market", as_json, SettingsError, DeploymentError):
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

    with _starting(as_json) as settings:
        run(settings.database)
    shown = make_url(settings.database).render_as_string(hide_password=True)
    say({"database": shown}, as_json, f"The database is at the newest version: {shown}")


@app.command()
def reindex(as_json: AsJson = False) -> None:
    """Empty everything that is known from the chain, and build it again. Stop the market before.

    Example: meritgrid market reindex
    """
    from market.server import reindex as run

    with _starting(as_json) as settings, Progress(console=err, disable=not err.is_terminal) as bars:
        task = bars.add_task("blocks", total=None)
        last = run(settings, lambda done, total: bars.update(task, completed=done, total=total))
    say({"block": last}, as_json, f"Rebuilt from the chain up to block {last}.")
