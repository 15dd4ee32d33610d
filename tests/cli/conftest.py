"""A market on a real chain behind a real HTTP server, and the command line as users call it."""

from __future__ import annotations

import json
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from market.api.app import create_app
from market.api.connections import http_server
from market.chain.deployment import DeploymentParameters
from market.services.certificates import GatewayCertificates
from market.services.market import Market
from market.settings import ApiSettings
from market.store.database import read_scope, session_scope
from tests.chain.world import KEYS, PARAMETERS, Chain, World, owner_key
from tests.conftest import TEST_EPOCH

ROOT = Path(__file__).resolve().parents[2]


def entry_points() -> dict[str, str]:
    """Command → where it is, as pyproject.toml says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    commands: dict[str, str] = project["entry-points"]["meritgrid.commands"]
    return commands


@dataclass
class WorldClock:
    """The clock of the chain's world: it stands until the test moves it."""

    world: World

    def now(self) -> float:
        return self.world.now_s

    def steady(self) -> float:
        return self.world.now_s

    async def sleep_until(self, at_s: float) -> None:
        self.wait_until(at_s)

    def wait_until(self, at_s: float) -> None:
        if at_s > self.world.now_s:
            raise RuntimeError("nobody moves this clock for a sleeper")


@dataclass
class Room:
    """What a test of the command line needs: the chain's world, the market's parts and its address, keys as files."""

    world: World
    market: Market
    url: str
    keys: Path

    def key(self, name: str) -> str:
        """Path of an actor's key file; `owner-2` is the owner of nanogrid 2."""
        kind, _, index = name.partition("-")
        key = owner_key(int(index)) if kind == "owner" and index else KEYS[name]
        path = self.keys / f"{name}.key"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(key.hex())
        return str(path)


@pytest.fixture
def room_database_url(tmp_path: Path) -> str:
    """A SQLite file; a test that is about another database has its own fixture of this name."""
    return f"sqlite:///{tmp_path / 'market.sqlite'}"


@dataclass(frozen=True)
class RoomBroker:
    """How the room's gateways reach a broker, and what signs their certificates, if they have any."""

    address: dict[str, Any]
    certificates: GatewayCertificates | None = None


NO_BROKER = RoomBroker({"host": "127.0.0.1", "port": 1883, "tls": False})


@pytest.fixture
def room_broker() -> RoomBroker:
    """None that runs; a test that is about a broker has its own fixture of this name."""
    return NO_BROKER


@contextmanager
def opened_room(
    chain: Chain,
    folder: Path,
    database_url: str,
    api: ApiSettings,
    parameters: DeploymentParameters = PARAMETERS,
    broker: RoomBroker = NO_BROKER,
) -> Iterator[Room]:
    """The market of a registered and funded world, served as the settings say until the context ends."""
    world = World.build(chain, database_url, parameters=parameters)
    world.at(TEST_EPOCH)
    world.register()
    world.fund()
    url = f"http://127.0.0.1:{api.port}"
    market = Market(
        sessions=partial(session_scope, world.engine),
        reading=partial(read_scope, world.engine),
        contracts=world.contracts,
        relayer=world.sender("relayer"),
        relayer_key=KEYS["relayer"],
        index=world.indexer.index_now,
        clock=WorldClock(world),
        calendar=world.contracts.calendar,
        parameters=asdict(world.contracts.deployment.parameters),
        broker=broker.address,
        public_url=url,
        time_zone="Europe/Rome",
        certificates=broker.certificates,
    )
    market.index()
    server = http_server(create_app(market, api), api)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield Room(world, market, url, folder)
    finally:
        server.should_exit = True
        thread.join(timeout=10)


@pytest.fixture
def room(anvil: Any, tmp_path: Path, free_port: int, room_database_url: str, room_broker: RoomBroker) -> Iterator[Room]:
    """The market of a registered and funded world, served on a free port."""
    api = ApiSettings(port=free_port)
    with opened_room(anvil, tmp_path, room_database_url, api, broker=room_broker) as opened:
        yield opened


@dataclass(frozen=True)
class Answer:
    """What a command did: exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


Run = Callable[..., Answer]


def call(*arguments: object) -> Answer:
    """Run `meritgrid` with arguments; an exception that no command expects fails the test."""
    group, *rest = map(str, arguments)
    module, _, name = entry_points()[group].partition(":")
    command = getattr(import_module(module), name)
    app = command
    if not isinstance(command, typer.Typer):
        app = typer.Typer()
        app.command()(command)
    result = CliRunner().invoke(app, rest, env={"COLUMNS": "200"}, prog_name=f"meritgrid {group}")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def meritgrid() -> Run:
    """The command line."""
    return call
