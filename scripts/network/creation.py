"""Creating a network: its plan, its genesis and its nodes' settings, then the launcher."""

from __future__ import annotations

import resource
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from market.settings import write_private_key
from scripts.demo.supervisor import free_port
from scripts.network.build import Programs
from scripts.network.genesis import chain_genesis
from scripts.network.layout import CHAIN_ID, CHAIN_NAME, VALIDATORS, Layout, NetworkError, write_json

_NETWORK_ID: Final = 88_888
"""Of the validators' own platform chain; they speak to nobody else."""
_OPEN_FILES: Final = 16_384
_CACHE_MIB: Final = {"trie-clean-cache": 32, "trie-dirty-cache": 32, "snapshot-cache": 16}
_DATABASE: Final = {"cacheSize": 64 << 20, "memTableSize": 16 << 20}
"""Of pebble [bytes]: its default of 128 MiB tables takes 280 MB of disk for each node of an empty chain."""
_KEY_BYTES: Final = 32


def create_network(
    layout: Layout,
    admins: Sequence[str],
    managers: Sequence[str],
    *,
    programs: Programs,
    validators: Sequence[str] = VALIDATORS,
    chain_id: int = CHAIN_ID,
    port: Callable[[], int] = free_port,
) -> None:
    """Make the files of a new network, whose chain exists but whose validators do not run yet.

    Args:
        layout: where; a creation that was interrupted is begun anew.
        admins: addresses of `chain_genesis`.
        managers: addresses of `chain_genesis`.
        programs: what was built.
        validators: their names.
        chain_id: EIP-155 chain id.
        port: gives another free port at each call.

    Raises:
        NetworkError: there is a network already, or the launcher fails.
    """
    if layout.exists():
        raise NetworkError(f"{layout.folder} holds a network already")
    programs.require()
    folder = layout.folder.absolute()
    layout = Layout(folder)
    shutil.rmtree(folder / "validators", ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not layout.owner_key.exists():
        write_private_key(layout.owner_key, secrets.token_bytes(_KEY_BYTES))
    _write_chain_configs(layout)
    write_json(layout.chain_genesis, chain_genesis(chain_id, int(time.time()), admins, managers))
    write_json(layout.plan, _plan(programs, validators, chain_id, port))
    run_launcher(programs.launcher, layout, "create")


def plan_validator(layout: Layout, name: str, port: Callable[[], int] = free_port) -> None:
    """Enter another validator, with ports of its own, into the plan."""
    plan = layout.planned()
    if all(each["name"] != name for each in plan["validators"]):
        plan["validators"].append({"name": name, "http_port": port(), "staking_port": port()})
        write_json(layout.plan, plan)


def _plan(programs: Programs, validators: Sequence[str], chain_id: int, port: Callable[[], int]) -> dict[str, object]:
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {
        "node": str(programs.node.absolute()),
        "plugins": str(programs.plugins.absolute()),
        "network_id": _NETWORK_ID,
        "chain_id": chain_id,
        "open_files": _OPEN_FILES if hard_limit == resource.RLIM_INFINITY else min(_OPEN_FILES, hard_limit),
        "validators": [{"name": name, "http_port": port(), "staking_port": port()} for name in validators],
    }


def _write_chain_configs(layout: Layout) -> None:
    """Settings of the nodes' chains: small caches, and a pool that takes many transactions of one relayer."""
    database = layout.chain_configs / CHAIN_NAME / "database.json"
    write_json(database, _DATABASE)
    own = {
        **_CACHE_MIB,
        "database-config-file": str(database),
        "log-level": "warn",
        "local-txs-enabled": True,
        "tx-pool-account-slots": 2_048,
        "tx-pool-account-queue": 2_048,
        "tx-pool-global-slots": 8_192,
        "tx-pool-global-queue": 8_192,
    }
    write_json(layout.chain_configs / CHAIN_NAME / "config.json", own)
    # Every node runs the platform's contract chain too; nothing of ours is on it.
    write_json(layout.chain_configs / "C" / "config.json", {**_CACHE_MIB, "log-level": "error"})


def run_launcher(launcher: Path, layout: Layout, command: str, *arguments: str) -> None:
    """Run one command of the launcher; its output goes to the network's log of creations.

    Raises:
        NetworkError: it failed; the text ends with the last lines of its log.
    """
    with layout.creation_log.open("a+", encoding="utf-8") as output:
        begin = output.tell()
        ended = subprocess.run(
            [str(launcher), command, str(layout.folder.absolute()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
        output.seek(begin)
        said = output.read().splitlines()
    if ended.returncode != 0:
        raise NetworkError(f"the launcher's {command} failed; {layout.creation_log} ends:\n" + "\n".join(said[-15:]))
