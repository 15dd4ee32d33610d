"""What one gateway is made of, read from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway_agent.buffer import Buffer
from gateway_agent.configuration import (
    BROKER_FILE,
    BUFFER_FILE,
    KEY_FILE,
    Broker,
    Enrolled,
    Settings,
    load_enrolled,
    load_settings,
)
from gateway_agent.drivers import Driver
from gateway_agent.drivers.registry import driver_of
from gateway_agent.identity import load_identity, read_secret
from gateway_agent.signer import Signer
from market.domain.gateway_key import KeyKind


@dataclass(frozen=True)
class Parts:
    """What a gateway is made of, read from its folder."""

    folder: Path
    settings: Settings
    enrolled: Enrolled
    signer: Signer
    buffer: Buffer
    driver: Driver

    @property
    def broker(self) -> Broker:
        """The broker of the enrolment, with the certificates that the installer trusts and the gateway's own."""
        broker, update = self.enrolled.mqtt, dict[str, Path]()
        if self.settings.tls_ca_file is not None:
            update["tls_ca_file"] = self.settings.tls_ca_file
        if broker.authentication == "certificate":
            update["certificate_file"] = self.folder / BROKER_FILE
        return broker.model_copy(update=update)

    @classmethod
    def from_folder(cls, folder: Path) -> Parts:
        """The parts of an enrolled gateway. BadConfiguration, UnsafeFile, FileNotFoundError, ValueError."""
        settings, enrolled = load_settings(folder), load_enrolled(folder)
        key_file = settings.bidding.key_file
        signer = Signer(
            load_identity(folder / KEY_FILE),
            enrolled.nanogrid,
            enrolled.settlement,
            enrolled.auction,
            load_identity(folder / key_file, KeyKind.SECP256K1) if key_file is not None else None,
        )
        if enrolled.mqtt.authentication == "certificate":
            read_secret(folder / BROKER_FILE)  # says what is wrong with it
        driver = driver_of(settings.driver, folder)
        buffer = Buffer(folder / BUFFER_FILE, settings.storage.most_megabytes)
        return cls(folder, settings, enrolled, signer, buffer, driver)
