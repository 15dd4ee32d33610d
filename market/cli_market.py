"""`meritgrid market serve|migrate|reindex`."""

from __future__ import annotations

import sys

import typer

from market.observability import set_up_logging
from market.settings import Settings, SettingsError

app = typer.Typer(help="The market process: API, relayer, clearing.", no_args_is_help=True)


@app.command()
def serve() -> None:
    """Serve the API and act by the calendar. Settings come from the environment (MERITGRID_…) and .env."""
    from market.chain.deployment import DeploymentError
    from market.server import serve as run

    settings = Settings()
    set_up_logging(settings.log, "market")
    try:
        run(settings)
    except (SettingsError, DeploymentError) as problem:
        typer.echo(f"The market cannot start: {problem}", err=True)
        sys.exit(2)


@app.command()
def migrate() -> None:
    """Bring the database's tables to this version."""
    from market.store.database import migrate as run

    settings = Settings()
    run(settings.database)
    typer.echo(f"The database is at the newest version: {settings.database}")


@app.command()
def reindex() -> None:
    """Empty everything that is known from the chain, and build it again."""
    from market.server import reindex as run

    run(Settings())
    typer.echo("Rebuilt from the chain.")
