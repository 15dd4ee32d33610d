"""Gateways with certificates in their folders, seated in the database as if the chain had said so."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Final

from sqlalchemy import Engine

from gateway_agent.broker_identity import Request
from gateway_agent.buffer import WAITING, Buffer
from gateway_agent.configuration import BROKER_FILE, BUFFER_FILE, ENROLMENT_FILE, KEY_FILE, SETTINGS_FILE
from gateway_agent.identity import load_or_create_identity, write_secret
from market.domain.hashing import keccak256
from market.domain.signing import address_of
from market.domain.typed_data import Domain
from market.domain.units import nanogrid_id
from market.processes import ending_with_parent
from market.services.certificates import GatewayCertificates
from market.services.enrolment_ca import requested_key
from market.store.database import session_scope
from market.store.projections import Nanogrid
from oracle.broker.mosquitto import BrokerFolder

UNIT_S: Final = 1
"""The market's time unit here [s]: short, so that there is always an interval that nobody has read yet."""
SETTLEMENT: Final = Domain(31337, "0x" + "5e" * 20)
ORACLE_KEY: Final = keccak256(b"oracle of the reconnection bench")
_PORTFOLIO: Final = 1
_NOBODY: Final = "0x" + "11" * 20
_PLANT: Final = {
    "format": 1,
    "index": 0,
    "name": "Of the bench",
    "bus": 0,
    "rated_power_w": 11_000,
    "plant": {"pv": {}, "battery": {}, "shiftable": {}},
    "initial_state": {},
    "first_interval": 0,
    "step_s": 900,
    "actual": {"load_w": [600], "load_var": [100], "pv_available_w": [0]},
    "forecast": {"load_w": [600], "load_var": [100], "pv_available_w": [0]},
}


@dataclass(frozen=True)
class Fleet:
    """Folders of gateways."""

    folders: tuple[Path, ...]
    names: frozenset[str]
    """At the broker."""

    def start(self, processes: int, log_folder: Path) -> list[Popen[bytes]]:
        """Processes, each with its part of the gateways; they end with this one."""
        return [self._start(part, processes, log_folder) for part in range(processes)]

    def _start(self, part: int, processes: int, log_folder: Path) -> Popen[bytes]:
        members = log_folder / f"swarm-{part}.json"
        members.write_text(json.dumps([str(folder) for folder in self.folders[part::processes]]))
        command = [sys.executable, "-m", "scripts.bench.reconnect.swarm", str(members)]
        with (log_folder / f"swarm-{part}.log").open("ab") as log:
            return Popen(ending_with_parent(command), stdout=log, stderr=log)

    def signed(self) -> dict[str, tuple[int, int]]:
        """Of each gateway's address: readings signed, and how many of them have no receipt; nobody may run them."""
        found = {}
        for folder in self.folders:
            buffer = Buffer(folder / BUFFER_FILE)
            gateway = load_or_create_identity(folder / KEY_FILE).address
            found[gateway] = (buffer.head().sequence, buffer.counts()[WAITING])
            buffer.close()
        return found


def install(root: Path, count: int, broker: BrokerFolder, certificates: GatewayCertificates, engine: Engine) -> Fleet:
    """Make so many gateways: key, certificate, enrolment, plant; and their seats and certificates in the database."""
    folders, names = [], set()
    with session_scope(engine) as session:
        for index in range(count):
            folder, nanogrid = root / f"gateway-{index}", nanogrid_id(_PORTFOLIO, index)
            gateway = _write_folder(folder, nanogrid, broker)
            session.add(
                Nanogrid(
                    nanogrid=nanogrid, portfolio=_PORTFOLIO, node=1, index=index, owner=_NOBODY, rated_power_w=11_000,
                    emergency_price_ueur_kwh=1, active_from=0, gateway=gateway, registered_at=0,
                )
            )  # fmt: skip
            request = Request.new(gateway)
            key = requested_key(request.pem, gateway.lower())
            request.keep(folder / BROKER_FILE, certificates.issue(session, gateway, nanogrid, key))
            folders.append(folder)
            names.add(gateway.lower())
    return Fleet(tuple(folders), frozenset(names))


def _write_folder(folder: Path, nanogrid: int, broker: BrokerFolder) -> str:
    folder.mkdir(parents=True)
    gateway = load_or_create_identity(folder / KEY_FILE).address
    driver = '[driver]\nfamily = "simulated"\nprofile = "plant.json"\n[bidding]\nenabled = false\n'
    (folder / SETTINGS_FILE).write_text(driver)
    (folder / "plant.json").write_text(json.dumps(_PLANT))
    address = {"host": "127.0.0.1", "port": broker.port, "tls": True, "trusted": broker.ca_file.read_text()}
    document = {
        "market_url": "http://127.0.0.1:9",
        "nanogrid": nanogrid,
        "gateway": gateway,
        "portfolio": _PORTFOLIO,
        "index": nanogrid & 0xFFFF,
        "node": 1,
        "chain_id": SETTLEMENT.chain_id,
        "contracts": {"settlement": SETTLEMENT.contract, "auction": _NOBODY, "signals": _NOBODY},
        "oracle": address_of(ORACLE_KEY),
        "dso": _NOBODY,
        "time_unit_s": UNIT_S,
        "mqtt": {**address, "username": gateway.lower(), "authentication": "certificate"},
        "api_key": "mg_none",
    }
    write_secret(folder / ENROLMENT_FILE, json.dumps(document))
    return gateway
