"""`python -m scripts.network start|stop|status|…`: what `make network` and its companions run."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path, PurePosixPath
from typing import Annotated

import structlog
import typer
from rich.console import Console

from market.chain.deployment import DeploymentError, parameters_from
from market.domain.errors import MeritgridError
from market.paths import DATA_DIR
from scripts.network.build import Programs, build, find_go
from scripts.network.creation import create_network, plan_validator, run_launcher
from scripts.network.handing_out import HOME, HTTP_HOST, HTTP_PORT, PLUGINS, Machine, hand_out
from scripts.network.layout import CHAIN_ID, Layout, NetworkError
from scripts.network.peers import introduce
from scripts.network.registration import KeyRing, Registrar
from scripts.network.supervision import start_supervised, stop_supervised, supervise, supervisor_pid

app = typer.Typer(help="The permissioned network of five validators.", no_args_is_help=True, add_completion=False)
console = Console(highlight=False)
FOLDER = DATA_DIR / "network"

Folder = Annotated[Path, typer.Option(help="Where the network and its market keep everything.")]
Name = Annotated[str, typer.Argument(help="Name of the validator.")]


@app.command("build")
def build_programs() -> None:
    """Build node, virtual machine and launcher from the pinned modules; again: only what has changed."""
    started = time.monotonic()
    build(Programs())
    console.print(f"built in {time.monotonic() - started:.0f} s: {Programs().folder}")


@app.command("find-go")
def show_go() -> None:
    """Show the Go that builds, or fail where there is none."""
    console.print(find_go())


@app.command()
def start(folder: Folder = FOLDER, chain_id: Annotated[int, typer.Option(help="EIP-155 chain id.")] = CHAIN_ID) -> None:
    """Create the network where there is none, start it, deploy the contracts, register the first participants.

    It goes on in the background under a supervisor, until `stop`. Started again, it goes on where it was.
    Parameters of the deployment come from the environment (MERITGRID_DEPLOY_…).
    """
    layout = Layout(folder)
    keys = KeyRing(layout)
    if not layout.exists():
        create_network(
            layout, [keys.address("operator")], [keys.address("relayer")], programs=Programs(), chain_id=chain_id
        )
    start_supervised(layout, Programs())
    # The operator's own node first; where it is down, the market asks the others.
    members = sorted(layout.members(), key=lambda member: member.name != "operator")
    rpc_url = ",".join(member.rpc_url for member in members)
    registrar = Registrar(layout, int(layout.planned()["chain_id"]), rpc_url)
    registrar.register(registrar.deploy(parameters_from()))
    registrar.write_settings()
    status(folder)
    console.print(f"settings for the market's processes: {layout.settings}")


@app.command()
def stop(folder: Folder = FOLDER) -> None:
    """End supervisor and validators; what the chain holds stays."""
    console.print("stopped" if stop_supervised(Layout(folder)) else "no network was running")


@app.command()
def remove(folder: Folder = FOLDER) -> None:
    """End the network, and delete everything of it, chain and keys included."""
    layout = Layout(folder)
    if folder.exists() and not (layout.exists() or layout.owner_key.exists()):
        raise NetworkError(f"{folder} holds no network: it is not deleted")
    stop_supervised(layout)
    shutil.rmtree(folder, ignore_errors=True)


@app.command()
def status(folder: Folder = FOLDER) -> None:
    """Show the validators and their endpoints."""
    layout = Layout(folder)
    pid = supervisor_pid(layout)
    for member in layout.members():
        console.print(f"{member.name:12} {member.node_id}  {member.rpc_url}", soft_wrap=True)
    console.print("not running" if pid is None else f"supervised by process {pid}")


@app.command("supervise")
def supervise_here(folder: Folder = FOLDER) -> None:
    """Run the validators in the foreground until a signal ends them (`start` does it in the background)."""
    supervise(Layout(folder), Programs())


@app.command("add-validator")
def add_validator(name: Name, folder: Folder = FOLDER) -> None:
    """Admit another validator, with new keys; a running supervisor starts it."""
    layout = Layout(folder)
    plan_validator(layout, name)
    run_launcher(Programs().launcher, layout, "add-validator", name)
    introduce(layout)
    console.print(f"{name} validates")


@app.command("remove-validator")
def remove_validator(name: Name, folder: Folder = FOLDER) -> None:
    """Remove a validator; a running supervisor ends its process."""
    layout = Layout(folder)
    run_launcher(Programs().launcher, layout, "remove-validator", name)
    introduce(layout)
    console.print(f"{name} validates no more")


@app.command("hand-out")
def hand_out_validator(
    name: Name,
    to: Annotated[Path, typer.Option(help="New folder for it.")],
    address: Annotated[
        list[str], typer.Option(metavar="NAME=IP[:PORT]", help="Where a validator's node is reached; one for each.")
    ],
    folder: Folder = FOLDER,
    home: Annotated[Path, typer.Option(help="Where the folder's content will be on its machine.")] = Path(HOME),
    plugins: Annotated[Path, typer.Option(help="Where the virtual machine is there.")] = Path(PLUGINS),
    http_host: Annotated[str, typer.Option(help="Address on which the node answers the market.")] = HTTP_HOST,
    http_port: Annotated[int, typer.Option(help="Its port.")] = HTTP_PORT,
    staking_host: Annotated[
        str | None, typer.Option(help="Address on which it listens for the others; its --address unless given.")
    ] = None,
) -> None:
    """Write all that a validator's node needs to go on elsewhere, for its operator to carry there.

    The network is stopped before, and does not run here again: a validator that runs twice is none.
    """
    machine = Machine(PurePosixPath(home), PurePosixPath(plugins), http_host, http_port, staking_host)
    hand_out(Layout(folder), name, address, to, machine)
    console.print(f"{to}: for {home} on the machine of {name}", soft_wrap=True)


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        app()
    except (NetworkError, DeploymentError, MeritgridError) as problem:
        console.print(str(problem), style="red")
        raise SystemExit(1) from problem


if __name__ == "__main__":
    main()
