"""`make network`: what it starts stays, is watched over, and is gone when it is stopped. One network for this file."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account import Account

from market.chain.allow_lists import AllowLists, Listing, ListName
from market.chain.bindings import Contracts, open_contracts
from market.chain.profiles import PROFILES, RpcError, connect, rpc
from market.chain.sender import TransactionSender
from market.domain.hashing import keccak256
from market.settings import ChainProfile, Settings
from market.store.database import migrate, open_engine
from scripts.demo.supervisor import free_port
from scripts.network.build import ROOT
from scripts.network.layout import VALIDATORS, Layout, read_json
from scripts.network.registration import HOLDERS, KeyRing
from scripts.network.supervision import supervisor_pid
from tests.waiting import until

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(300)]

UNIT_S = 60


def command(layout: Layout, *words: str) -> subprocess.CompletedProcess[str]:
    """One command of the network, as make runs it."""
    return subprocess.run(
        [sys.executable, "-m", "scripts.network", *words, "--folder", str(layout.folder)],
        cwd=ROOT,
        env={**os.environ, "MERITGRID_DEPLOY_TIME_UNIT_S": str(UNIT_S)},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def node_pid(layout: Layout, name: str) -> int | None:
    """Process id of a validator's node, where that process is ours and lives."""
    try:
        pid = int(json.loads((layout.validator(name) / "process.json").read_text(encoding="utf-8"))["pid"])
        ours = str(layout.node_config(name)).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if ours else None


def environment(layout: Layout) -> dict[str, str]:
    lines = layout.settings.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def contracts_of(layout: Layout) -> Contracts:
    values = {name.removeprefix("MERITGRID_").lower(): value for name, value in environment(layout).items()}
    names = ("data_dir", "chain_profile", "chain_id", "rpc_url")
    return open_contracts(Settings(_env_file=None, **{name: values[name] for name in names}))


@pytest.fixture(scope="module")
def layout() -> Iterator[Layout]:
    folder = Path(tempfile.mkdtemp(prefix="meritgrid-network-")) / "network"
    layout = Layout(folder)
    try:
        started = command(layout, "start")
        assert started.returncode == 0, started.stdout + started.stderr
        yield layout
    finally:
        removed = command(layout, "remove")
        shutil.rmtree(folder.parent)
        assert removed.returncode == 0, removed.stdout + removed.stderr


def test_the_first_participants_are_registered_and_listed(layout: Layout) -> None:
    contracts, keys = contracts_of(layout), KeyRing(layout)
    assert contracts.deployment.parameters.time_unit_s == UNIT_S
    engine = open_engine(f"sqlite:///{layout.folder / 'meritgrid.sqlite'}")
    lists = AllowLists(contracts, TransactionSender(contracts, engine, keys.key("relayer")))
    for role, name in HOLDERS:
        account = keys.address(name)
        assert contracts.call(contracts.registry.functions.hasRole(keccak256(role.encode()), account))
        assert lists.listing(ListName.SENDERS, account) is Listing.ENABLED
    assert lists.listing(ListName.DEPLOYERS, keys.address("oracle")) is Listing.NONE
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in layout.keys.iterdir())
    engine.dispose()


def test_started_again_it_does_nothing_twice(layout: Layout) -> None:
    supervisor, head = supervisor_pid(layout), rpc(contracts_of(layout).web3, "eth_blockNumber")
    again = command(layout, "start")
    assert again.returncode == 0, again.stdout + again.stderr
    assert supervisor_pid(layout) == supervisor
    assert rpc(contracts_of(layout).web3, "eth_blockNumber") == head


def test_the_markets_process_lists_a_wallet_that_is_registered(layout: Layout, tmp_path: Path) -> None:
    contracts, keys, wallet = contracts_of(layout), KeyRing(layout), Account.create().address
    engine = open_engine(f"sqlite:///{tmp_path / 'operator.sqlite'}")
    log = (tmp_path / "market.log").open("wb")
    market = subprocess.Popen(
        [sys.executable, "-m", "market.cli", "market", "serve"],
        env={**os.environ, **environment(layout), "MERITGRID_API__PORT": str(free_port())},
        cwd=tmp_path,
        stdout=log,
        stderr=log,
    )
    try:
        migrate(f"sqlite:///{tmp_path / 'operator.sqlite'}")
        operator = TransactionSender(contracts, engine, keys.key("operator"))
        lists = AllowLists(contracts, operator)
        grant, revoke = contracts.registry.functions.grantRole, contracts.registry.functions.revokeRole
        operator.send(grant(keccak256(b"PROSUMER"), wallet), "grant", "grant")
        until(lambda: lists.listing(ListName.SENDERS, wallet) is Listing.ENABLED, 30)
        until(lambda: contracts.web3.eth.get_balance(wallet) > 0, 15)
        operator.send(revoke(keccak256(b"PROSUMER"), wallet), "revoke", "revoke")
        until(lambda: lists.listing(ListName.SENDERS, wallet) is Listing.NONE, 30)
    finally:
        market.terminate()
        market.wait(timeout=30)
        log.close()
        engine.dispose()


def test_a_validator_that_is_killed_is_started_again(layout: Layout) -> None:
    killed = node_pid(layout, "auditor")
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    until(lambda: node_pid(layout, "auditor") not in {None, killed}, 30)


def test_a_validator_is_added_and_removed(layout: Layout) -> None:
    added = command(layout, "add-validator", "tso")
    assert added.returncode == 0, added.stdout + added.stderr
    assert [member.name for member in layout.members()] == [*VALIDATORS, "tso"]
    assert all(
        layout.members()[-1].node_id in read_json(layout.node_config(name))["bootstrap-ids"] for name in VALIDATORS
    )
    until(lambda: node_pid(layout, "tso") is not None, 30)
    head = int(rpc(contracts_of(layout).web3, "eth_blockNumber"), 16)
    newest = layout.members()[-1]

    def has_caught_up() -> bool:
        try:
            return int(rpc(connect(newest.rpc_url, PROFILES[ChainProfile.NETWORK]), "eth_blockNumber"), 16) >= head
        except (OSError, RpcError):
            return False

    until(has_caught_up, 60)
    removed = command(layout, "remove-validator", "tso")
    assert removed.returncode == 0, removed.stdout + removed.stderr
    assert [member.name for member in layout.members()] == list(VALIDATORS)
    until(lambda: node_pid(layout, "tso") is None, 30)


def test_where_the_supervisor_is_killed_its_validators_end_and_start_goes_on(layout: Layout) -> None:
    deployed = contracts_of(layout).deployment
    supervisor = supervisor_pid(layout)
    assert supervisor is not None
    pids = [node_pid(layout, name) for name in VALIDATORS]
    os.kill(supervisor, signal.SIGKILL)
    again = command(layout, "start")
    assert again.returncode == 0, again.stdout + again.stderr
    assert not any(pid == node_pid(layout, name) for pid, name in zip(pids, VALIDATORS, strict=True))
    assert contracts_of(layout).deployment == deployed


def test_stopped_nothing_of_it_runs(layout: Layout) -> None:
    pids = [node_pid(layout, name) for name in VALIDATORS]
    assert None not in pids
    assert command(layout, "stop").stdout.strip() == "stopped"
    assert supervisor_pid(layout) is None
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert command(layout, "stop").stdout.strip() == "no network was running"


def test_what_is_no_network_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    refused = command(Layout(tmp_path), "remove")
    assert refused.returncode == 1
    assert "holds no network" in refused.stdout
    assert (tmp_path / "precious").exists()
