"""A real Mosquitto with the product's own folder, and clients with certificates of its authority."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from market.domain.hashing import keccak256
from market.domain.signing import address_of
from market.services.enrolment_ca import EnrolmentCa, pem_of, pem_of_key
from oracle.broker.mosquitto import BrokerFolder, find_program, write_folder

GATEWAYS = [address_of(keccak256(f"gateway {index} of the broker".encode())).lower() for index in range(3)]


@dataclass
class Mosquitto:
    """Mosquitto on a free port."""

    root: Path
    authority: EnrolmentCa
    files: BrokerFolder
    process: subprocess.Popen[bytes] | None = None
    certificates: dict[str, x509.Certificate] = field(default_factory=dict)

    @classmethod
    def in_folder(cls, root: Path, port: int, **options: Any) -> Mosquitto:
        authority = EnrolmentCa.create(root / "ca.pem", root / "ca.key")
        return cls(root, authority, write_folder(root / "mosquitto", port, authority, **options))

    @property
    def log_file(self) -> Path:
        return self.root / "mosquitto.log"

    def start(self) -> None:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen([find_program(), "-c", self.files.configuration], stdout=log, stderr=log)
        deadline = time.monotonic() + 15
        while not self._answers():
            assert self.process.poll() is None, self.log_file.read_text()
            assert time.monotonic() < deadline, self.log_file.read_text()
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            ssl.get_server_certificate(("127.0.0.1", self.files.port), timeout=2)
        except ConnectionRefusedError:
            return False
        except (ssl.SSLError, OSError):
            return True  # it asks for our certificate
        return True

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(15)
        self.process = None

    def reload(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def identity(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a gateway, made when it is asked for first, or of a service."""
        if name in self.files.services:
            return self.files.services[name]
        certificate_file, key_file = self.root / f"{name}.pem", self.root / f"{name}.key"
        if not key_file.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            self.certificates[name] = self.authority.sign_client(key.public_key(), name)
            key_file.write_text(pem_of_key(key))
            certificate_file.write_text(pem_of(self.certificates[name]))
        return certificate_file, key_file

    def tls(self, name: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.files.ca_file)
        if name is not None:
            context.load_cert_chain(*self.identity(name))
        return context

    def client(self, name: str | None, **other: Any) -> aiomqtt.Client:
        other = {"identifier": f"{name}-{id(other)}", "timeout": 3, "tls_context": self.tls(name)} | other
        return aiomqtt.Client("127.0.0.1", self.files.port, **other)


async def heard(listener: aiomqtt.Client, count: int = 1) -> list[tuple[str, bytes]]:
    """The next messages."""
    messages = aiter(listener.messages)
    got = [await asyncio.wait_for(anext(messages), 5.0) for _ in range(count)]
    return [(str(message.topic), bytes(message.payload)) for message in got]  # type: ignore[arg-type]


@asynccontextmanager
async def to_be_cut(client: aiomqtt.Client) -> AsyncIterator[aiomqtt.Client]:
    """A client's connection, which need not be there any more at the end; it must come about."""
    await client.__aenter__()
    try:
        yield client
    finally:
        with contextlib.suppress(aiomqtt.MqttError):
            await client.__aexit__(None, None, None)
