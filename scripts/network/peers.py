"""Whom a validator's node asks when it starts: the others that validate now, at their addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scripts.network.layout import Layout, read_json, write_json


@dataclass(frozen=True)
class Endpoint:
    """Where the other validators reach a node."""

    ip: str
    port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


def peer_settings(name: str, endpoints: Mapping[str, Endpoint], node_ids: Mapping[str, str]) -> dict[str, str]:
    """The settings of a validator's node that name the others. Pure.

    Args:
        name: whose node it is.
        endpoints: of all validators.
        node_ids: of all validators.
    """
    others = [other for other in endpoints if other != name]
    return {
        "bootstrap-ips": ",".join(str(endpoints[other]) for other in others),
        "bootstrap-ids": ",".join(node_ids[other] for other in others),
    }


def introduce(layout: Layout) -> None:
    """Have each validator's configuration on this machine name the others as they are now; its next start counts.

    A node asks those that it knew when it was admitted, and comes up without the market's chain once they are gone.
    """
    members = layout.members()
    endpoints = {member.name: Endpoint("127.0.0.1", member.staking_port) for member in members}
    node_ids = {member.name: member.node_id for member in members}
    for name in endpoints:
        config = layout.node_config(name)
        if config.exists():  # a validator that was handed out has none here any more
            changed = config.with_name("node.json.new")
            changed.touch(mode=0o600)
            write_json(changed, read_json(config) | peer_settings(name, endpoints, node_ids))
            changed.replace(config)
