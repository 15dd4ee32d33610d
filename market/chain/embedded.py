"""The embedded chain profile: one anvil node as a child process, its state in a file.

Only the standard library is needed, so that tests, the demo and Brownie's environment can all import it.

The node's clock stands still unless it is told to move: with `timestamp` given, every block bears the time that
`evm_mine` last set (see `set_block_time`), so a simulated clock can drive it.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from market.processes import ending_with_parent

HARDFORK = "osaka"
"""EVM rules of the node: fixed, or an update of anvil would change gas. EIP-7623 and EIP-7825 are in them."""
CHAIN_ID = 31337
BLOCK_GAS_LIMIT = 30_000_000
"""Gas of a block, as on the permissioned network. A transaction has 16,777,216 (EIP-7825)."""
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0

STATES_KEPT = 64
"""States of past blocks, held in memory. Without a number the node writes every block's whole state to a folder of its
own in the home directory, gigabytes in a day, and leaves it there when it is killed."""

_PLATFORMS = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class EmbeddedChainError(Exception):
    """The node cannot be found, started or asked; the text says why and what helps."""


@dataclass(frozen=True)
class EmbeddedChain:
    """A running node.

    Attributes:
        process: the node itself (not npm's wrapper, which would orphan it).
        port: TCP port of its JSON-RPC on 127.0.0.1.
    """

    process: subprocess.Popen[bytes]
    port: int

    @property
    def rpc_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(self, method: str, *parameters: Any) -> Any:
        """Calls one JSON-RPC method of the node and returns its result.

        Raises:
            EmbeddedChainError: the node does not answer or answers with an error.
        """
        return request(self.rpc_url, method, *parameters)

    def stop(self) -> None:
        """Ends the node: it writes its state on SIGTERM; after STOP_TIMEOUT_S it is killed."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def find_anvil(environment: Mapping[str, str] | None = None) -> Path:
    """Finds the node's binary: MERITGRID_ANVIL, else the npm package in a node_modules above this file or the working
    directory, else npm's global folder, else `anvil` on PATH.

    Raises:
        EmbeddedChainError: there is none.
    """
    environment = os.environ if environment is None else environment
    if named := environment.get("MERITGRID_ANVIL"):
        if os.access(named, os.X_OK):
            return Path(named)
        raise EmbeddedChainError(f"MERITGRID_ANVIL names {named}, which is no executable file")
    for node_modules in _node_modules_folders():
        binary = node_modules / "@foundry-rs" / f"anvil-{_platform_name()}" / "bin" / "anvil"
        if os.access(binary, os.X_OK):
            return binary
    if on_path := shutil.which("anvil", path=environment.get("PATH")):
        return Path(on_path)
    raise EmbeddedChainError("anvil is not installed: run `npm ci` in the source tree, or set MERITGRID_ANVIL")


def _platform_name() -> str:
    machine = platform.machine()
    return f"{platform.system().lower()}-{_PLATFORMS.get(machine, machine)}"


def _node_modules_folders() -> Iterator[Path]:
    for start in (Path(__file__).resolve().parent, Path.cwd()):
        for folder in (start, *start.parents):
            yield folder / "node_modules"
    if npm := shutil.which("npm"):
        found = subprocess.run([npm, "root", "--global"], capture_output=True, text=True, check=False)
        if found.returncode == 0:
            yield Path(found.stdout.strip())


def start_anvil(
    port: int,
    state_file: Path | None = None,
    timestamp: int | None = None,
    *,
    accounts: int = 10,
    base_fee_wei: int = 0,
    block_gas_limit: int = BLOCK_GAS_LIMIT,
    hardfork: str = HARDFORK,
    states_kept: int = STATES_KEPT,
    limited: bool = True,
    log: IO[bytes] | None = None,
) -> EmbeddedChain:
    """Starts a node that mines each transaction at once, and waits until it answers.

    Args:
        port: free TCP port on 127.0.0.1.
        state_file: kept up to date each second and read at the next start; survives a SIGKILL but for what the last
            second brought. None: nothing is kept.
        timestamp: time of the blocks until `set_block_time` moves it [epoch seconds]; when a state is resumed, the
            later of this and the last block's. None: the system's clock.
        accounts: number of funded development accounts.
        base_fee_wei: base fee of the first block; 0 lets transactions be free.
        block_gas_limit: gas of a block.
        hardfork: EVM rules, as anvil names them.
        states_kept: how many past blocks' states can be asked for; each is a whole copy in memory.
        limited: code and transactions are no larger than EIP-170 and EIP-7825 allow. Not so where code is measured that
            would never be deployed.
        log: where the node's output goes; None: nowhere.

    Raises:
        EmbeddedChainError: the binary is missing, or the node ends or stays silent for START_TIMEOUT_S.
    """
    _refuse_taken_port(port)
    command = [str(find_anvil()), "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(CHAIN_ID)]
    command += ["--hardfork", hardfork, "--gas-limit", str(block_gas_limit)]
    command += ["--enable-tx-gas-limit"] if limited else ["--disable-code-size-limit"]
    command += ["--base-fee", str(base_fee_wei), "--gas-price", "0", "--disable-min-priority-fee"]
    command += ["--accounts", str(accounts), "--prune-history", str(states_kept)]
    if state_file is not None:
        command += ["--state", str(state_file), "--state-interval", "1"]
    resumed = state_file is not None and state_file.exists()
    if timestamp is not None and not resumed:
        # Genesis one second earlier, so that the block mined below may bear the time that was asked for.
        command += ["--timestamp", str(timestamp - 1)]
    complaints = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the node that writes to it
    process = subprocess.Popen(
        ending_with_parent(command),
        stdin=subprocess.DEVNULL,
        stdout=log if log is not None else subprocess.DEVNULL,
        stderr=complaints,
        start_new_session=True,  # Ctrl-C at the terminal is for the supervisor, which ends its children in order
    )
    chain = EmbeddedChain(process, port)
    try:
        _wait_until_it_answers(chain, complaints)
        if timestamp is not None:
            latest = int(chain.request("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
            # A resumed node would take the system's clock for its last block's time, and refuse an earlier one.
            chain.request("evm_setTime", latest)
            set_block_time(chain.rpc_url, max(timestamp, latest))
    except BaseException:
        chain.stop()
        raise
    return chain


def _refuse_taken_port(port: int) -> None:
    """Or another node on the port would answer in place of the one that could not start."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just left counts as free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise EmbeddedChainError(f"port {port} is taken: {error}") from error


def _wait_until_it_answers(chain: EmbeddedChain, complaints: IO[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        if (code := chain.process.poll()) is not None:
            complaints.seek(0)
            reason = complaints.read().decode(errors="replace").strip()
            raise EmbeddedChainError(f"anvil on port {chain.port} ended with code {code} while starting: {reason}")
        try:
            chain.request("eth_chainId")
            return
        except EmbeddedChainError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def set_block_time(rpc_url: str, timestamp: int) -> None:
    """Makes the node's clock stand at a time, and mines one empty block that bears it.

    Equal times are allowed: every later block bears the same time until this is called again.

    Args:
        rpc_url: the node's JSON-RPC.
        timestamp: not before the latest block's. [epoch seconds]

    Raises:
        EmbeddedChainError: the node refuses (a time before the latest block's) or does not answer.
    """
    request(rpc_url, "anvil_setBlockTimestampInterval", 0)
    request(rpc_url, "evm_mine", {"timestamp": timestamp})


def request(rpc_url: str, method: str, *parameters: Any) -> Any:
    """Calls one JSON-RPC method and returns its result.

    Raises:
        EmbeddedChainError: no answer, or an error in it.
    """
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
    call = urllib.request.Request(rpc_url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(call, timeout=30) as response:  # noqa: S310
            answer = json.load(response)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise EmbeddedChainError(f"{method} got no answer from {rpc_url}: {error}") from error
    if "error" in answer:
        raise EmbeddedChainError(f"{method}: {answer['error'].get('message', answer['error'])}")
    return answer["result"]
