"""`meritgrid oracle serve` and `meritgrid broker serve`; the broker's other commands are in `oracle.broker.cli`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from market.cli_refusals import starting
from market.cli_session import AsJson, refusals, say
from market.observability import LOCALHOST, MetricsHost, MetricsPort, logging_as
from market.settings import Settings, SettingsError
from oracle.broker.cli import register

oracle = typer.Typer(help="The oracle: baselines, signed readings, dispatch, settlement.", no_args_is_help=True)
broker = typer.Typer(help="The MQTT broker: the embedded one, or Mosquitto with certificates.", no_args_is_help=True)


@oracle.callback()
def _oracle() -> None:
    """Keeps `serve` a sub-command."""


@oracle.command("serve")
def serve_oracle(
    forecast_file: Annotated[Path, typer.Option(help="JSON file with the forecast of each connection point.")],
    ready_file: Annotated[Path | None, typer.Option(help="Touched when the first jobs are done.")] = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = LOCALHOST,
    as_json: AsJson = False,
) -> None:
    """Take readings in, nominate baselines, dispatch awards, settle. Settings come from the environment and .env.

    With --json every line of the log is a JSON object.

    Example: MERITGRID_ORACLE_KEY__FILE=oracle.key meritgrid oracle serve --forecast-file scenario/forecast.json
    """
    from market.chain.deployment import DeploymentError
    from oracle.forecast import ForecastUnusable
    from oracle.service import serve

    with refusals(as_json):
        settings = Settings()
    logging_as(settings.log, "oracle", as_json)
    with starting("The oracle", as_json, SettingsError, DeploymentError, ForecastUnusable):
        serve(settings, forecast_file, ready_file, metrics_port, metrics_host)


@broker.command("serve")
def serve_broker(
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow clear text beyond this machine: behind a tunnel of your own.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the broker with the market's credentials. Settings come from the environment and .env.

    Beyond this machine it speaks TLS only. With --json every line of the log is a JSON object.

    Example: MERITGRID_MQTT__PORT=1883 meritgrid broker serve
    """
    from amqtt.errors import BrokerError

    from oracle.broker.server import serve

    with refusals(as_json):
        settings = Settings()
    logging_as(settings.log, "broker", as_json)
    with starting("The broker", as_json, SettingsError, BrokerError):
        asyncio.run(serve(settings, insecure=insecure))


@broker.command("account")
def broker_account(
    name: Annotated[str, typer.Option(help="Name of the account, as in MERITGRID_MQTT__USERNAME.")] = "oracle",
    password_file: Annotated[
        Path | None, typer.Option(help="New file (mode 600) for the password, as in MERITGRID_MQTT__PASSWORD_FILE.")
    ] = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="Let nobody in under this name any more.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a service's account at the broker with a new password, or take it away. Gateways get theirs by enrolment.

    Example: meritgrid broker account --name oracle --password-file oracle-broker.password
    """
    from market.settings import write_secret
    from market.store.database import migrate, open_engine
    from oracle.broker.credentials import new_service_account, revoke_service_account

    with refusals(as_json):
        if revoke == (password_file is not None):
            raise ValueError("give either --password-file or --revoke")
        settings = Settings()
        migrate(settings.database)
        engine = open_engine(settings.database)
        now_s = int(settings.open_clock("broker-account").now())
        if password_file is None:
            revoke_service_account(engine, name, now_s)
        else:
            # The file first: a password that is in no file would be lost.
            with write_secret(password_file) as file:
                file.write(new_service_account(engine, name, now_s) + "\n")
    done = f"The account {name} is revoked." if revoke else f"The password of {name} is in {password_file}."
    say({"name": name, "revoked": revoke, "password_file": password_file and str(password_file)}, as_json, done)


register(broker)
