"""`meritgrid dso run` and `meritgrid aggregator run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from market.cli_session import AsJson, PasswordFile, key_of, refusals
from market.clock import clock_from
from market.desks.aggregator import AggregatorDesk, OfferPolicy
from market.desks.desk import Desk, run_desk
from market.desks.market_client import MarketClient
from market.observability import LOCALHOST, MetricsHost, MetricsPort, logging_as, serve_metrics
from market.settings import LogSettings

dso = typer.Typer(help="The DSO's desk: traffic light, requests, verdicts, RED commands.", no_args_is_help=True)
aggregator = typer.Typer(help="The aggregator's desk: offers that answer requests.", no_args_is_help=True)

MarketUrl = Annotated[
    str, typer.Option("--market", envvar="MERITGRID_MARKET_URL", help="Base URL of the market's API.")
]
KeyFile = Annotated[
    Path,
    typer.Option("--key-file", envvar="MERITGRID_KEY_FILE", help="File (mode 600) with the role's private key."),
]
ClockSetting = Annotated[
    str,
    typer.Option("--clock", envvar="MERITGRID_CLOCK", help="'system', or 'simulated:host:port' in a demonstration."),
]
ClockToken = Annotated[str, typer.Option("--clock-token", envvar="MERITGRID_CLOCK_TOKEN", hidden=True)]
ReadyFile = Annotated[Path | None, typer.Option("--ready-file", help="Touched when the first jobs are done.")]


@dso.callback()
def _dso() -> None:
    """Keeps `run` a sub-command."""


@aggregator.callback()
def _aggregator() -> None:
    """Keeps `run` a sub-command."""


@dso.command("run")
def run_dso(
    node: Annotated[int, typer.Option(help="The node that this desk decides for.")],
    grid: Annotated[Path, typer.Option(help="JSON file with the node's forecast, which names its network.")],
    key_file: KeyFile,
    market: MarketUrl,
    price: Annotated[int, typer.Option(help="Price of a request [micro-euro per kWh].")] = 300_000,
    margin_percent: Annotated[
        float, typer.Option(help="How far inside the limits to buy [% points of loading].")
    ] = 3.0,
    password_file: PasswordFile = None,
    clock: ClockSetting = "system",
    clock_token: ClockToken = "",
    ready_file: ReadyFile = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = LOCALHOST,
    as_json: AsJson = False,
) -> None:
    """Run the power flow on forecasts, set the light, publish requests, check results, command on RED.

    It runs until it is told to stop. With --json every line of its log is a JSON object.

    Example: meritgrid dso run --node 1 --grid scenario/forecast.json --key-file dso.key --market https://market.example
    """
    logging_as(LogSettings(), "dso", as_json)
    from market.desks.dso import DeskPolicy, DsoDesk
    from market.desks.node_grid import load_node_grid

    with refusals(as_json):
        key = key_of(key_file, password_file)
        node_grid = load_node_grid(grid)
        client = MarketClient(market, private_key="0x" + key.hex())
        desk = Desk(client, key)
    with client:
        policy = DeskPolicy(price_ueur_kwh=price, margin_percent=margin_percent)
        own_clock = clock_from(clock, "dso", clock_token)
        jobs = DsoDesk(desk, node, node_grid, policy, own_clock.now).jobs()
        serve_metrics(metrics_port, metrics_host, own_clock.now)
        run_desk(desk, jobs, own_clock, ready_file)


@aggregator.command("run")
def run_aggregator(
    key_file: KeyFile,
    market: MarketUrl,
    limit_permille: Annotated[int, typer.Option(help="Limit price in per mille of a request's price.")] = 850,
    password_file: PasswordFile = None,
    clock: ClockSetting = "system",
    clock_token: ClockToken = "",
    ready_file: ReadyFile = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = LOCALHOST,
    as_json: AsJson = False,
) -> None:
    """Answer every request at the own nodes with an offer.

    It runs until it is told to stop. With --json every line of its log is a JSON object.

    Example: meritgrid aggregator run --key-file aggregator.key --market https://market.example
    """
    logging_as(LogSettings(), "aggregator", as_json)
    with refusals(as_json):
        key = key_of(key_file, password_file)
        client = MarketClient(market, private_key="0x" + key.hex())
        desk = AggregatorDesk.connect(client, key, OfferPolicy(limit_permille))
    with client:
        own_clock = clock_from(clock, "aggregator", clock_token)
        serve_metrics(metrics_port, metrics_host, own_clock.now)
        run_desk(desk.desk, desk.jobs(), own_clock, ready_file)
