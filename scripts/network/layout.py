"""What a network's folder holds, and what the launcher's description of it says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from market.paths import deployment_file

CHAIN_NAME: Final = "meritgrid"
"""The chain's name in its nodes' settings and logs; their addresses bear its id."""
CHAIN_ID: Final = 20_261
"""EIP-155 chain id, where none is asked for."""
VALIDATORS: Final = ("dso-1", "dso-2", "aggregator", "operator", "auditor")
"""Who runs a validator of a new network."""


class NetworkError(Exception):
    """The network cannot be built, created, started or found; the text says why and what helps."""


@dataclass(frozen=True)
class Member:
    """One validator: whose it is, its node's identity, and its ports on 127.0.0.1."""

    name: str
    node_id: str
    http_port: int
    staking_port: int
    blockchain_id: str

    @property
    def uri(self) -> str:
        """The node's address."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def rpc_url(self) -> str:
        """JSON-RPC of the chain at this node."""
        return f"{self.uri}/ext/bc/{self.blockchain_id}/rpc"


@dataclass(frozen=True)
class Layout:
    """The files of a network in one folder; the launcher (launcher/files.go) uses the same names."""

    folder: Path

    @property
    def plan(self) -> Path:
        """What the launcher is asked to create: binaries, validators with their ports."""
        return self.folder / "plan.json"

    @property
    def chain_genesis(self) -> Path:
        return self.folder / "chain-genesis.json"

    @property
    def chain_configs(self) -> Path:
        return self.folder / "chain-configs"

    @property
    def primary_genesis(self) -> Path:
        """Of the platform chain, by the launcher."""
        return self.folder / "primary-genesis.json"

    @property
    def aliases(self) -> Path:
        """The chain's name at its nodes."""
        return self.folder / "aliases.json"

    @property
    def owner_key(self) -> Path:
        """The key that admits and removes validators."""
        return self.folder / "owner.key"

    @property
    def description(self) -> Path:
        """Written by the launcher: it is there when the network has been created."""
        return self.folder / "network.json"

    @property
    def supervisor(self) -> Path:
        """Locked by the supervisor while it runs; holds its process id."""
        return self.folder / "supervisor.pid"

    @property
    def ready(self) -> Path:
        """There while every validator has been in good health since the supervisor's start."""
        return self.folder / "ready"

    @property
    def supervisor_log(self) -> Path:
        return self.folder / "supervisor.log"

    @property
    def creation_log(self) -> Path:
        return self.folder / "creation.log"

    @property
    def keys(self) -> Path:
        """Keys of the roles, where this machine made them."""
        return self.folder / "keys"

    @property
    def settings(self) -> Path:
        """Environment of the market's processes for this network."""
        return self.folder / "settings.env"

    def deployment(self, chain_id: int) -> Path:
        return deployment_file(self.folder, chain_id)

    def validator(self, name: str) -> Path:
        """Folder of a validator: keys, configuration, database, logs."""
        return self.folder / "validators" / name

    def node_config(self, name: str) -> Path:
        return self.validator(name) / "node.json"

    def exists(self) -> bool:
        """Whether the network has been created."""
        return self.description.exists()

    def members(self) -> tuple[Member, ...]:
        """The validators, as the launcher wrote them.

        Raises:
            NetworkError: there is no network in the folder.
        """
        if not self.exists():
            raise NetworkError(f"there is no network in {self.folder}: `make network` makes one")
        document = read_json(self.description)
        chain = document["blockchain_id"]
        return tuple(Member(**each, blockchain_id=chain) for each in document["validators"])

    def planned(self) -> dict[str, Any]:
        """The plan by which it was created."""
        return read_json(self.plan)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def write_json(path: Path, document: object) -> None:
    """Write a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
