"""`meritgrid oracle serve` and `meritgrid broker serve`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from market.observability import set_up_logging
from market.settings import Settings, SettingsError

oracle = typer.Typer(help="The oracle: baselines, signed readings, dispatch, settlement.", no_args_is_help=True)
broker = typer.Typer(help="The embedded MQTT broker, for small set-ups.", no_args_is_help=True)


@oracle.callback()
def _oracle() -> None:
    """Keeps `serve` a sub-command."""


@broker.callback()
def _broker() -> None:
    """Keeps `serve` a sub-command."""


@oracle.command("serve")
def serve_oracle(
    forecast_file: Annotated[Path, typer.Option(help="JSON file with the forecast of each connection point.")],
    ready_file: Annotated[Path | None, typer.Option(help="Touched when the first jobs are done.")] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Port of the metrics on 127.0.0.1; default: none.")] = None,
) -> None:
    """Take readings in, nominate baselines, dispatch awards, settle. Settings come from the environment and .env."""
    from market.chain.deployment import DeploymentError
    from oracle.forecast import ForecastUnusable
    from oracle.service import serve

    settings = Settings()
    set_up_logging(settings.log, "oracle")
    try:
        serve(settings, forecast_file, ready_file, metrics_port)
    except (SettingsError, DeploymentError, ForecastUnusable) as problem:
        typer.echo(f"The oracle cannot start: {problem}", err=True)
        sys.exit(2)


@broker.command("serve")
def serve_broker() -> None:
    """Run the broker with the market's credentials. Settings come from the environment and .env."""
    from oracle.broker.server import serve

    settings = Settings()
    set_up_logging(settings.log, "broker")
    asyncio.run(serve(settings))
