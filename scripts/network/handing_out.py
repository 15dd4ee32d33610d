"""A validator's folder for its operator's machine: all that its node needs, with the paths and addresses there."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from scripts.network.layout import CHAIN_NAME, Layout, NetworkError, read_json, write_json
from scripts.network.peers import Endpoint, peer_settings
from scripts.network.supervision import supervisor_pid

HOME: Final = PurePosixPath("/var/lib/meritgrid-validator")
"""Of the unit `meritgrid-validator.service`."""
PLUGINS: Final = PurePosixPath("/opt/meritgrid/network/plugins")
HTTP_HOST: Final = "127.0.0.1"
HTTP_PORT: Final = 9_650
STAKING_PORT: Final = 9_651

_KEYS: Final = ("staker.key", "staker.crt", "signer.key")
_CHAIN: Final = ("db", "chainData")
"""What the node knows of the chains. All five without it would begin with nothing and know of no market's chain."""
_GENESIS: Final = "primary-genesis.json"
_ALIASES: Final = "aliases.json"
_CHAIN_CONFIGS: Final = "chain-configs"
_DATABASE: Final = PurePosixPath(_CHAIN_CONFIGS, CHAIN_NAME, "database.json")
_LARGEST_PORT: Final = 65_535


@dataclass(frozen=True)
class Machine:
    """Where a node will run: its folder, the virtual machine's, and the addresses that it listens on."""

    home: PurePosixPath = HOME
    plugins: PurePosixPath = PLUGINS
    http_host: str = HTTP_HOST
    http_port: int = HTTP_PORT
    staking_host: str | None = None
    """None: the address at which the others reach it."""


def endpoint_of(text: str) -> Endpoint:
    """The endpoint of `IP`, `IP:PORT` or `[IP]:PORT`.

    Raises:
        ValueError: it is none; a name is none, since nodes tell each other addresses only.
    """
    with_port = re.fullmatch(r"\[(.*)\]:(\d+)|([^:]*):(\d+)", text)
    host, port = (with_port[1] or with_port[3], with_port[2] or with_port[4]) if with_port else (text, STAKING_PORT)
    ip = ipaddress.ip_address(host)
    if ip.is_unspecified:
        raise ValueError(f"{ip} is nobody's address")
    number = int(port)
    if not 0 < number <= _LARGEST_PORT:
        raise ValueError(f"{number} is no port")
    return Endpoint(str(ip), number)


def endpoints_of(addresses: Sequence[str], names: Sequence[str]) -> dict[str, Endpoint]:
    """The endpoint of each validator of a network, from `NAME=IP` or `NAME=IP:PORT` for each.

    Raises:
        NetworkError: what is wrong, all of it: no such form or validator, one that is missing or named twice, or two
            with the same endpoint.
    """
    problems: list[str] = []
    found: dict[str, Endpoint] = {}
    named: set[str] = set()
    for text in addresses:
        name, equals, where = text.partition("=")
        if not equals:
            problems.append(f"{text}: NAME=IP is wanted")
            continue
        if name not in names:
            problems.append(f"{text}: there is no validator {name}; there are {', '.join(names)}")
        if name in named:
            problems.append(f"{text}: {name} has an address already")
        named.add(name)
        try:
            endpoint = endpoint_of(where)
        except ValueError as problem:
            problems.append(f"{text}: {problem}")
            continue
        problems += [
            f"{text}: {other} has the same" for other, its in found.items() if its == endpoint != found.get(name)
        ]
        found.setdefault(name, endpoint)
    problems += [f"{name} has no --address" for name in names if name not in named]
    if problems:
        raise NetworkError("\n".join(problems))
    return found


def node_settings(
    settings: Mapping[str, str],
    name: str,
    endpoints: Mapping[str, Endpoint],
    node_ids: Mapping[str, str],
    machine: Machine,
) -> dict[str, str]:
    """The settings of a validator's node on its own machine. Pure.

    Args:
        settings: those that it has on the machine that created the network; what names no place stays.
        name: whose node it is.
        endpoints: of all validators.
        node_ids: of all validators.
        machine: where it will run.
    """
    own = endpoints[name]
    home = machine.home
    staker_key, staker_crt, signer_key = (str(home / each) for each in _KEYS)
    return {
        **settings,
        "data-dir": str(home),
        "plugin-dir": str(machine.plugins),
        "genesis-file": str(home / _GENESIS),
        "chain-config-dir": str(home / _CHAIN_CONFIGS),
        "chain-aliases-file": str(home / _ALIASES),
        "staking-tls-key-file": staker_key,
        "staking-tls-cert-file": staker_crt,
        "staking-signer-key-file": signer_key,
        "http-host": machine.http_host,
        "http-port": str(machine.http_port),
        "public-ip": own.ip,
        "staking-host": own.ip if machine.staking_host is None else machine.staking_host,
        "staking-port": str(own.port),
        **peer_settings(name, endpoints, node_ids),
    }


def chain_settings(settings: Mapping[str, Any], home: PurePosixPath) -> dict[str, Any]:
    """The settings of the market's chain on a validator's own machine. Pure."""
    return {**settings, "database-config-file": str(home / _DATABASE)}


def hand_out(layout: Layout, name: str, addresses: Sequence[str], to: Path, machine: Machine) -> None:
    """Write a folder that is all a validator's node needs to go on elsewhere: keys, settings, what it has of the chain.

    The network may not run meanwhile: what is copied from a database in use is no database.

    Args:
        layout: the network.
        name: the validator.
        addresses: `endpoints_of`.
        to: the new folder; its owner's alone (mode 700, files 600), and there as a whole or not at all.
        machine: where its content will be.

    Raises:
        NetworkError: what is wrong, all of it; nothing is written then.
    """
    members = layout.members()
    names = [member.name for member in members]
    problems: list[str] = []
    endpoints: dict[str, Endpoint] = {}
    try:
        endpoints = endpoints_of(addresses, names)
    except NetworkError as problem:
        problems.append(str(problem))
    if name not in names:
        problems.append(f"there is no validator {name}; there are {', '.join(names)}")
    for option, path in (("--home", machine.home), ("--plugins", machine.plugins)):
        if not path.is_absolute():
            problems.append(f"{option} {path}: a path from / on is wanted")
    if not 0 < machine.http_port <= _LARGEST_PORT:
        problems.append(f"--http-port {machine.http_port}: no port")
    if to.exists():
        problems.append(f"{to} is there already: nothing is overwritten")
    if supervisor_pid(layout) is not None:
        problems.append(f"the network in {layout.folder} is running: stop it first")
    if problems:
        raise NetworkError("\n".join(problems))
    node_ids = {member.node_id: member.name for member in members}
    settings = node_settings(
        read_json(layout.node_config(name)),
        name,
        endpoints,
        {its: node_id for node_id, its in node_ids.items()},
        machine,
    )
    to.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.parent))
    try:
        _fill(unfinished, layout, name, settings, machine.home)
        unfinished.rename(to)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _fill(folder: Path, layout: Layout, name: str, settings: Mapping[str, str], home: PurePosixPath) -> None:
    own = layout.validator(name)
    for each in _KEYS:
        shutil.copyfile(own / each, folder / each)
    for each in _CHAIN:
        if (own / each).exists():  # one that was added and has not run yet has none
            shutil.copytree(own / each, folder / each)
    shutil.copyfile(layout.primary_genesis, folder / _GENESIS)
    shutil.copyfile(layout.aliases, folder / _ALIASES)
    shutil.copytree(layout.chain_configs, folder / _CHAIN_CONFIGS)
    config = folder / _DATABASE.with_name("config.json")
    write_json(config, chain_settings(read_json(config), home))
    write_json(folder / "node.json", settings)
    for parent, folders, files in os.walk(folder):
        for each in folders:
            (Path(parent) / each).chmod(0o700)
        for each in files:
            (Path(parent) / each).chmod(0o600)
