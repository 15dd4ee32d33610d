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
from market.domain.signing import address_of
from market.settings import Settings, write_secret
from oracle.forecast import read_forecast
from oracle.messages import Channel, DispatchSnapshot, Liveness, Status, topic_for
from oracle.service import OracleService
from tests.chain.world import KEYS, U, World, gateway_key, nanogrid
from tests.clock import TEST_EPOCH

pytestmark = [pytest.mark.alone, pytest.mark.processes, pytest.mark.slow]

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def own_settings(
    anvil: EmbeddedChain, tmp_path: Path, free_port: int, migrated_database_url: str
) -> Iterator[dict[str, str]]:
    """Of an oracle over a deployed market, with a broker's port that nobody listens on."""
    world = World.build(anvil, migrated_database_url)
    world.at(TEST_EPOCH)
    world.register()
    world.indexer.index_now()
    write_deployment(tmp_path / "deployment.json", world.contracts.deployment)
    for name, content in (("oracle.key", KEYS["oracle"].hex()), ("oracle.password", "secret")):
        with write_secret(tmp_path / name) as file:
            file.write(content)
    (tmp_path / "forecast.json").write_text('{"format": 2, "first_interval": 0, "step_s": 900, "points": []}')
    yield {
        "MERITGRID_DATABASE_URL": migrated_database_url,
        "MERITGRID_RPC_URL": anvil.rpc_url,
        "MERITGRID_DEPLOYMENT_FILE": str(tmp_path / "deployment.json"),
        "MERITGRID_ORACLE_KEY__FILE": str(tmp_path / "oracle.key"),
        "MERITGRID_MQTT__PORT": str(free_port),
        "MERITGRID_MQTT__USERNAME": "oracle",
    }
    world.engine.dispose()


@pytest.fixture
def start(tmp_path: Path, own_settings: dict[str, str]) -> Iterator[Start]:
    """Starts `meritgrid oracle serve`."""
    running: list[subprocess.Popen[str]] = []

    def run(password_file: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "market.cli", "oracle", "serve", "--forecast-file", "forecast.json"]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, **own_settings, "MERITGRID_MQTT__PASSWORD_FILE": str(tmp_path / password_file)},
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


def test_a_gateway_that_comes_is_told_the_time_also_where_nothing_was_ever_dispatched_to_it(
    tmp_path: Path, own_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It checks its clock by it, and asks with another status where it is in doubt."""
    for name, value in own_settings.items():
        monkeypatch.setenv(name, value)
    settings = Settings(_env_file=None, mqtt={"password_file": tmp_path / "oracle.password"})
    service = OracleService(settings, read_forecast(tmp_path / "forecast.json"))
    key = gateway_key(1)
    gateway, settlement = address_of(key), service._oracle.settlement
    birth = {"gateway": gateway.lower(), "nanogrid": nanogrid(1), "state": Liveness.ONLINE, "software_version": "1"}
    revisions = []
    for at in (7, int(time.time())):
        status = Status.sealed(key, settlement, at=at, **birth)
        [answer] = service._take(topic_for(gateway, Channel.STATUS), status.payload())
        snapshot = DispatchSnapshot.model_validate_json(answer.payload)
        assert (answer.topic, answer.order) == (topic_for(gateway, Channel.DISPATCH), snapshot.revision)
        assert snapshot.dispatches == ()
        assert abs(snapshot.issued_at - time.time()) < 5
        revisions.append(snapshot.revision)
    assert revisions == sorted(set(revisions))
    goodbye = Status.sealed(key, settlement, at=8, **birth | {"state": Liveness.OFFLINE})
    assert service._take(topic_for(gateway, Channel.STATUS), goodbye.payload()) == []


def test_an_oracle_looks_after_what_it_has_sent_within_seconds_whatever_its_calendar_is(
    tmp_path: Path, own_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a market whose chain has stood still would go on saying so until the oracle's next moment."""
    for name, value in own_settings.items():
        monkeypatch.setenv(name, value)
    settings = Settings(_env_file=None, mqtt={"password_file": tmp_path / "oracle.password"})
    schedule = OracleService(settings, read_forecast(tmp_path / "forecast.json")).schedule()
    assert max(schedule.next_moment(now_s) - now_s for now_s in range(TEST_EPOCH, TEST_EPOCH + U)) <= 5
