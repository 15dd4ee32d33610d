"""Mosquitto as in production, for a rehearsal: its own folder and authority, its process, its guard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from market.services.enrolment_ca import EnrolmentCa
from oracle.broker.mosquitto import BrokerFolder, find_program, write_folder
from scripts.demo.supervisor import ProcessSpec, tcp_probe

ORACLE: Final = "oracle"


@dataclass(frozen=True)
class MosquittoBroker:
    """A Mosquitto whose clients have certificates of an authority of its own, in `folder`."""

    folder: Path
    files: BrokerFolder

    @classmethod
    def create(cls, folder: Path, port: int) -> MosquittoBroker:
        """Make authority and folder."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = EnrolmentCa.create(folder / "authority.pem", folder / "authority.key")
        return cls(folder, write_folder(folder / "mosquitto", port, authority))

    @property
    def memory(self) -> list[Path]:
        """Where it keeps sessions, what waits for them and what is retained."""
        return [self.files.folder / "data" / "mosquitto.db"]

    def spec(self, name: str = "broker") -> ProcessSpec:
        """The broker as a process."""
        return ProcessSpec(
            name, [find_program(), "-c", str(self.files.configuration)], ready=tcp_probe(self.files.port)
        )

    def settings(self) -> dict[str, str]:
        """What market, oracle and guard are told of it."""
        return {
            "MERITGRID_MQTT__TLS": "true",
            "MERITGRID_MQTT__CA_FILE": str(self.files.ca_file),
            "MERITGRID_MQTT__ENROLMENT_CA_FILE": str(self.folder / "authority.pem"),
            "MERITGRID_MQTT__ENROLMENT_CA_KEY_FILE": str(self.folder / "authority.key"),
        }

    def oracle_settings(self) -> dict[str, str]:
        """By what the oracle is known there."""
        certificate, key = self.files.services[ORACLE]
        return {
            "MERITGRID_MQTT__CLIENT_CERT_FILE": str(certificate),
            "MERITGRID_MQTT__CLIENT_KEY_FILE": str(key),
        }
