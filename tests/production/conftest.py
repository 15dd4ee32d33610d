"""The product's own processes, as production starts them, over a real chain."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from market.chain.deployment import write_deployment
from market.chain.embedded import EmbeddedChain, start_anvil
from market.services.enrolment_ca import EnrolmentCa
from market.settings import write_secret
from oracle.broker.mosquitto import write_folder
from scripts.demo.supervisor import free_port
from tests.chain.world import KEYS, World

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = ROOT / "scripts" / "production"
_START_WITHIN_S = 60.0


@contextmanager
def process(
    command: list[str], folder: Path, log: str, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours until the end of the block; what it says is in `log`."""
    with (folder / log).open("wb") as output:
        started = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait(5)


def answers(url: str, started: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until something answers well at an address."""
    deadline = time.monotonic() + _START_WITHIN_S
    while time.monotonic() < deadline:
        assert started.poll() is None, log.read_text()
        try:
            if httpx.get(url, timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer:\n{log.read_text()}")


@dataclass(frozen=True)
class Running:
    """The processes that run: the market's address, and every process's page of metrics."""

    market_url: str
    metrics: dict[str, str]


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Market, oracle and aggregator's desk on free ports, by the product's own commands."""
    folder = tmp_path_factory.mktemp("running")
    with ExitStack() as stack:
        now_s = int(time.time())
        chain = stack.enter_context(start_anvil(free_port(), timestamp=now_s - 3600))
        environment = _settings(chain, folder, now_s)
        yield _start(stack, folder, environment)


def _settings(chain: EmbeddedChain, folder: Path, now_s: int) -> dict[str, str]:
    world = World.build(chain, f"sqlite:///{folder / 'world.sqlite'}")
    world.now_s = now_s - 3600
    world.register(
        active_from=world.contracts.calendar.next_interval(world.contracts.calendar.interval_of(world.now_s))
    )
    world.fund()
    world.at(now_s)
    world.engine.dispose()
    write_deployment(folder / "deployment.json", world.contracts.deployment)
    for name in ("relayer", "oracle", "aggregator"):
        with write_secret(folder / f"{name}.key") as file:
            file.write(KEYS[name].hex())
    with write_secret(folder / "oracle.password") as file:
        file.write("secret")
    (folder / "forecast.json").write_text('{"format": 2, "first_interval": 0, "step_s": 900, "points": []}')
    return os.environ | {
        "MERITGRID_DATABASE_URL": f"sqlite:///{folder / 'market.sqlite'}",
        "MERITGRID_RPC_URL": chain.rpc_url,
        "MERITGRID_DEPLOYMENT_FILE": str(folder / "deployment.json"),
        "MERITGRID_RELAYER_KEY__FILE": str(folder / "relayer.key"),
        "MERITGRID_ORACLE_KEY__FILE": str(folder / "oracle.key"),
        "MERITGRID_MQTT__PORT": str(free_port()),
        "MERITGRID_MQTT__USERNAME": "oracle",
        "MERITGRID_MQTT__PASSWORD_FILE": str(folder / "oracle.password"),
    }


def _start(stack: ExitStack, folder: Path, environment: dict[str, str]) -> Running:
    port, oracle_port, desk_port = free_port(), free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    environment |= {"MERITGRID_API__PORT": str(port), "MERITGRID_API__BASE_URL": url}
    meritgrid = [sys.executable, "-m", "market.cli"]

    def start(name: str, page: str, *arguments: str) -> None:
        started = stack.enter_context(process([*meritgrid, *arguments], folder, f"{name}.log", environment))
        answers(page, started, folder / f"{name}.log")

    pages = {
        "market": f"{url}/metrics",
        "oracle": f"http://127.0.0.1:{oracle_port}/metrics",
        "aggregator-desk": f"http://127.0.0.1:{desk_port}/metrics",
    }
    start("market", f"{url}/health/ready", "market", "serve")
    on = ["--metrics-port", str(oracle_port)]
    start("oracle", pages["oracle"], "oracle", "serve", "--forecast-file", "forecast.json", *on)
    guard_port = free_port()
    pages["broker-guard"] = f"http://127.0.0.1:{guard_port}/metrics"
    write_folder(folder / "broker", free_port(), EnrolmentCa.create(folder / "ca.pem", folder / "ca.key"))
    on = ["--metrics-port", str(guard_port)]
    start("broker-guard", pages["broker-guard"], "broker", "guard", "--folder", "broker", *on)
    on = ["--metrics-port", str(desk_port), "--market", url]
    start("aggregator-desk", pages["aggregator-desk"], "aggregator", "run", "--key-file", "aggregator.key", *on)
    return Running(url, pages)


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a checker in a folder of its own; what it says stands in the failure."""

    def checked(*command: object, ok: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
        )
        assert not ok or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    return checked
