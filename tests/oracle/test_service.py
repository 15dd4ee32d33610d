"""The oracle's process: it says why it cannot work, and ends when it is asked to, whatever it waits for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from market.chain.deployment import write_deployment
from market.chain.embedded import EmbeddedChain
from market.settings import write_secret
from tests.chain.world import KEYS, World

pytestmark = [pytest.mark.processes, pytest.mark.slow]

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(anvil: EmbeddedChain, tmp_path: Path, free_port: int, migrated_database_url: str) -> Iterator[Start]:
    """Starts `meritgrid oracle serve` over a deployed market, with a broker's port that nobody listens on."""
    world = World.build(anvil, migrated_database_url)
    write_deployment(tmp_path / "deployment.json", world.contracts.deployment)
    for name, content in (("oracle.key", KEYS["oracle"].hex()), ("oracle.password", "secret")):
        with write_secret(tmp_path / name) as file:
            file.write(content)
    (tmp_path / "forecast.json").write_text('{"format": 2, "first_interval": 0, "step_s": 900, "points": []}')
    environment = os.environ | {
        "MERITGRID_DATABASE_URL": migrated_database_url,
        "MERITGRID_RPC_URL": anvil.rpc_url,
        "MERITGRID_DEPLOYMENT_FILE": str(tmp_path / "deployment.json"),
        "MERITGRID_ORACLE_KEY__FILE": str(tmp_path / "oracle.key"),
        "MERITGRID_MQTT__PORT": str(free_port),
        "MERITGRID_MQTT__USERNAME": "oracle",
    }
    running: list[subprocess.Popen[str]] = []

    def run(password_file: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "market.cli", "oracle", "serve", "--forecast-file", "forecast.json"]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment | {"MERITGRID_MQTT__PASSWORD_FILE": str(tmp_path / password_file)},
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield run
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()
    world.engine.dispose()


def test_an_oracle_without_its_password_says_so_and_ends(start: Start) -> None:
    process = start("missing.password")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "missing.password" in said
    assert "Traceback" not in said


def test_an_oracle_that_waits_for_its_broker_ends_when_it_is_asked_to(start: Start) -> None:
    process = start("oracle.password")
    assert process.stderr is not None
    said = ""
    while "no connection to the broker" not in said:
        said += process.stderr.readline()
        assert process.poll() is None, said
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
