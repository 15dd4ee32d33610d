"""From one machine to five: each validator's folder is handed out and goes on elsewhere, here at another loopback
address each. What is wrong is told at once, and nothing is written then."""

from __future__ import annotations

import fcntl
import http.client
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest
from eth_account import Account
from web3 import Web3

from market.chain.deployment import Deployment, DeploymentParameters, deploy, is_deployed
from market.chain.profiles import connect
from market.domain.signing import address_of
from market.processes import ending_with_parent
from scripts.demo.supervisor import free_port
from scripts.network.build import ROOT, Programs
from scripts.network.creation import create_network
from scripts.network.handing_out import Machine, endpoint_of, endpoints_of, hand_out, node_settings
from scripts.network.layout import VALIDATORS, Layout, NetworkError, read_json, write_json
from scripts.network.peers import Endpoint, introduce
from scripts.network.validators import Validators, await_health
from tests.chain.world import KEYS
from tests.network.world import NETWORK
from tests.waiting import until

OPERATOR = Account.from_key(KEYS["operator"])
KEY_FILES = ("staker.key", "staker.crt", "signer.key")
IN_A_CONTAINER = "auditor"
"""It listens on all addresses, as where a container's published ports lead to it."""
HOMES = ("data-dir", "genesis-file", "chain-config-dir", "chain-aliases-file", "staking-tls-key-file")


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("192.0.2.1", Endpoint("192.0.2.1", 9651)),
        ("192.0.2.1:31", Endpoint("192.0.2.1", 31)),
        ("2001:db8::1", Endpoint("2001:db8::1", 9651)),
        ("[2001:db8::1]:31", Endpoint("2001:db8::1", 31)),
    ],
)
def test_an_address_is_an_ip_and_a_port_where_it_is_not_the_standard_one(text: str, endpoint: Endpoint) -> None:
    assert endpoint_of(text) == endpoint
    assert endpoint_of(str(endpoint)) == endpoint


@pytest.mark.parametrize("text", ["", "dso.example", "192.0.2.1:", "192.0.2.1:x", "192.0.2.1:0", "1.2.3.4:65536", "::"])
def test_what_no_node_could_be_reached_at_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        endpoint_of(text)


def test_everything_that_is_wrong_with_the_addresses_is_told_at_once() -> None:
    with pytest.raises(NetworkError) as refused:
        endpoints_of(["a=192.0.2.1", "a=192.0.2.2", "b=192.0.2.1", "c=nowhere", "x=192.0.2.9", "192.0.2.3"], "abcd")
    told = str(refused.value).splitlines()
    for line in (
        "a=192.0.2.2: a has an address already",
        "b=192.0.2.1: a has the same",
        "c=nowhere: 'nowhere' does not appear to be an IPv4 or IPv6 address",
        "x=192.0.2.9: there is no validator x; there are a, b, c, d",
        "192.0.2.3: NAME=IP is wanted",
        "d has no --address",
    ):
        assert line in told
    assert len(told) == 6


def test_a_nodes_settings_name_its_own_machine_and_the_others_addresses() -> None:
    endpoints = {"a": Endpoint("192.0.2.1", 9651), "b": Endpoint("2001:db8::2", 9651), "c": Endpoint("192.0.2.3", 31)}
    made = {"network-id": "88888", "data-dir": "/made/here", "bootstrap-ids": "A,C", "http-port": "23456"}
    settings = node_settings(made, "b", endpoints, {"a": "NodeID-A", "b": "NodeID-B", "c": "NodeID-C"}, Machine())
    assert settings["network-id"] == "88888"
    assert settings["bootstrap-ips"] == "192.0.2.1:9651,192.0.2.3:31"
    assert settings["bootstrap-ids"] == "NodeID-A,NodeID-C"
    assert (settings["public-ip"], settings["staking-host"], settings["staking-port"]) == (
        *2 * ("2001:db8::2",),
        "9651",
    )
    assert (settings["http-host"], settings["http-port"]) == ("127.0.0.1", "9650")
    assert all(settings[name].startswith("/var/lib/meritgrid-validator") for name in HOMES)
    assert settings["plugin-dir"] == "/opt/meritgrid/network/plugins"


@pytest.fixture
def made(tmp_path: Path) -> Layout:
    """The files of a network of two, as the launcher writes them."""
    layout = Layout(tmp_path / "network")
    members = [{"name": name, "http_port": 1, "staking_port": 2, "node_id": f"NodeID-{name}"} for name in ("a", "b")]
    write_json(layout.description, {"network_id": 1, "subnet_id": "s", "blockchain_id": "c", "validators": members})
    for path in (layout.primary_genesis, layout.aliases, layout.chain_configs / "C" / "config.json"):
        write_json(path, {})
    market = layout.chain_configs / "meritgrid"
    write_json(market / "database.json", {})
    write_json(market / "config.json", {"database-config-file": str(market / "database.json"), "log-level": "warn"})
    for name in ("a", "b"):
        write_json(layout.node_config(name), {"network-id": "1"})
        for each in KEY_FILES:
            (layout.validator(name) / each).write_text(f"{each} of {name}")
    return layout


BOTH = ("a=192.0.2.1", "b=192.0.2.2")


def test_a_folder_holds_its_own_validators_keys_and_names_no_place_of_the_machine_that_made_it(
    made: Layout, tmp_path: Path
) -> None:
    hand_out(made, "b", BOTH, tmp_path / "for-b", Machine(PurePosixPath("/srv/b")))
    written = {path.relative_to(tmp_path / "for-b"): path for path in (tmp_path / "for-b").rglob("*") if path.is_file()}
    assert {str(path) for path in written} == {
        *KEY_FILES, "node.json", "primary-genesis.json", "aliases.json",
        "chain-configs/C/config.json", "chain-configs/meritgrid/config.json", "chain-configs/meritgrid/database.json",
    }  # fmt: skip
    for path in written.values():
        assert str(tmp_path) not in path.read_text(encoding="utf-8")
    chain = read_json(tmp_path / "for-b" / "chain-configs" / "meritgrid" / "config.json")
    assert chain == {"database-config-file": "/srv/b/chain-configs/meritgrid/database.json", "log-level": "warn"}
    assert (tmp_path / "for-b" / "staker.key").read_text() == "staker.key of b"


def test_a_folder_is_its_owners_own(made: Layout, tmp_path: Path) -> None:
    hand_out(made, "a", BOTH, tmp_path / "for-a", Machine())
    folder = tmp_path / "for-a"
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_everything_that_is_wrong_is_told_at_once_and_nothing_is_written(made: Layout, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    machine = Machine(PurePosixPath("home"), PurePosixPath("plugins"), http_port=0)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(NetworkError) as refused:
        hand_out(made, "x", BOTH[:1], tmp_path / "there", machine)
    for told in (
        "b has no --address",
        "no validator x",
        "--home home",
        "--plugins plugins",
        "--http-port 0",
        "there is",
    ):
        assert told in str(refused.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_there_is_not_overwritten(made: Layout, tmp_path: Path) -> None:
    (tmp_path / "for-a").mkdir()
    (tmp_path / "for-a" / "node.json").write_text("another's")
    with pytest.raises(NetworkError, match="is there already"):
        hand_out(made, "a", BOTH, tmp_path / "for-a", Machine())
    assert (tmp_path / "for-a" / "node.json").read_text() == "another's"


def test_a_folder_that_cannot_be_written_whole_is_not_there(made: Layout, tmp_path: Path) -> None:
    made.aliases.unlink()
    with pytest.raises(FileNotFoundError):
        hand_out(made, "a", BOTH, tmp_path / "out" / "for-a", Machine())
    assert not list((tmp_path / "out").iterdir())


def test_a_network_that_runs_is_not_handed_out(made: Layout, tmp_path: Path) -> None:
    with made.supervisor.open("w+", encoding="utf-8") as lock:
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(NetworkError, match="is running: stop it first"):
            hand_out(made, "a", BOTH, tmp_path / "for-a", Machine())
    hand_out(made, "a", BOTH, tmp_path / "for-a", Machine())


def test_a_validator_asks_those_who_validate_now_when_it_is_started_again(made: Layout) -> None:
    """One that asked those of its own admission only came up without the market's chain once they were gone."""
    write_json(
        made.node_config("a"), {"network-id": "1", "bootstrap-ips": "127.0.0.1:9", "bootstrap-ids": "NodeID-gone"}
    )
    made.node_config("b").unlink()  # handed out
    introduce(made)
    assert read_json(made.node_config("a")) == {
        "network-id": "1", "bootstrap-ips": "127.0.0.1:2", "bootstrap-ids": "NodeID-b",
    }  # fmt: skip
    assert made.node_config("a").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in made.node_config("a").parent.iterdir()) == sorted([*KEY_FILES, "node.json"])


@dataclass(frozen=True)
class Elsewhere:
    """A validator on a machine of its own."""

    home: Path
    ip: str
    http_port: int
    chain: str

    @property
    def web3(self) -> Web3:
        return connect(f"http://{self.ip}:{self.http_port}/ext/bc/{self.chain}/rpc", NETWORK)

    @contextmanager
    def running(self, node: Path) -> Iterator[None]:
        """Its node, started as the unit does."""
        with (self.home / "output.log").open("wb") as output:
            process = subprocess.Popen(
                ending_with_parent([str(node), "--config-file", str(self.home / "node.json")]),
                cwd=self.home, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)

    def is_healthy(self) -> bool:
        connection = http.client.HTTPConnection(self.ip, self.http_port, timeout=5)
        try:
            connection.request("GET", "/ext/health")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def transfer(web3: Web3) -> int:
    """A transaction of the operator to itself; the number of the block that it is final in."""
    terms = {"to": OPERATOR.address, "gas": 21_000, "gasPrice": 10, "chainId": web3.eth.chain_id}
    nonce = web3.eth.get_transaction_count(OPERATOR.address)
    signed = OPERATOR.sign_transaction({**terms, "nonce": nonce})
    receipt = web3.eth.wait_for_transaction_receipt(web3.eth.send_raw_transaction(signed.raw_transaction), timeout=60)
    assert receipt["status"] == 1
    return int(receipt["blockNumber"])


@dataclass(frozen=True)
class HandedOut:
    """Five validators' machines, and what the chain held before."""

    machines: dict[str, Elsewhere]
    deployment: Deployment
    head: int
    block_hash: bytes


def carried(layout: Layout, folder: Path) -> dict[str, Elsewhere]:
    """Each validator's folder, handed out by the command and carried to a place of its own."""
    ports = {name: free_port() for name in VALIDATORS}
    ips = {name: f"127.0.0.{number}" for number, name in enumerate(VALIDATORS, start=2)}
    addresses = [f"--address={name}={ips[name]}:{ports[name]}" for name in VALIDATORS]
    chain = layout.members()[0].blockchain_id
    machines = {name: Elsewhere(folder / name / "home", ips[name], free_port(), chain) for name in VALIDATORS}
    for name, machine in machines.items():
        hosts = (
            ["--http-host=0.0.0.0", "--staking-host=0.0.0.0"]
            if name == IN_A_CONTAINER
            else [f"--http-host={ips[name]}"]
        )
        words = ["hand-out", name, "--to", folder / "out" / name, "--home", machine.home, "--folder", layout.folder]
        words += ["--plugins", Programs().plugins, "--http-port", machine.http_port, *addresses, *hosts]
        command = [sys.executable, "-m", "scripts.network", *map(str, words)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        machine.home.parent.mkdir()
        shutil.move(folder / "out" / name, machine.home)
    return machines


@pytest.fixture(scope="module")
def handed_out() -> Iterator[HandedOut]:
    """A network with a market's contracts, stopped, handed out, its own folder deleted, and started elsewhere."""
    folder = Path(tempfile.mkdtemp(prefix="meritgrid-network-"))
    try:
        layout, programs = Layout(folder / "made"), Programs()
        create_network(layout, [OPERATOR.address], [address_of(KEYS["relayer"])], programs=programs)
        with Validators(layout, programs.node) as validators:
            validators.start()
            await_health(list(validators))
            web3 = connect(validators["operator"].member.rpc_url, NETWORK)
            deployment = deploy(web3, OPERATOR, DeploymentParameters())
            head = web3.eth.get_block("latest")
        machines = carried(layout, folder)
        shutil.rmtree(layout.folder)
        with ExitStack() as nodes:
            for machine in machines.values():
                nodes.enter_context(machine.running(programs.node))
            for name, machine in machines.items():
                until(machine.is_healthy, 90, f"{name}: {(machine.home / 'output.log').read_text(errors='replace')}")
            yield HandedOut(machines, deployment, int(head["number"]), bytes(head["hash"]))
    finally:
        shutil.rmtree(folder)


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_on_machines_of_their_own_the_chain_goes_on(handed_out: HandedOut) -> None:
    machines = handed_out.machines
    for machine in machines.values():
        assert bytes(machine.web3.eth.get_block(handed_out.head)["hash"]) == handed_out.block_hash
        assert is_deployed(machine.web3, handed_out.deployment)
    for name, machine in machines.items():
        begun = time.monotonic()
        block = transfer(machine.web3)
        assert block > handed_out.head
        assert time.monotonic() - begun < 30
        for other in machines.values():
            until(lambda web3=other.web3, block=block: web3.eth.block_number >= block, 30, f"{name}'s is not known")


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_of_it_is_of_the_machine_that_made_it(handed_out: HandedOut) -> None:
    folder = handed_out.machines["operator"].home.parents[1]
    for machine in handed_out.machines.values():
        for path in (machine.home / "node.json", machine.home / "chain-configs" / "meritgrid" / "config.json"):
            assert str(folder / "made") not in path.read_text(encoding="utf-8")
            assert path.stat().st_mode & 0o777 == 0o600
        assert (machine.home / "staker.key").stat().st_mode & 0o777 == 0o600
    assert len({(machine.home / "staker.key").read_bytes() for machine in handed_out.machines.values()}) == 5
