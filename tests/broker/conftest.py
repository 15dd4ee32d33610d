"""The product's own broker in a process of its own, with certificates of a small authority of the tests."""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import Engine

from market.store.database import migrate, open_engine
from tests.broker.mosquitto import Mosquitto


@dataclass(frozen=True)
class Authority:
    """A certificate authority and a server's certificate for 127.0.0.1, as PEM files."""

    ca: Path
    certificate: Path
    key: Path


def make_authority(folder: Path) -> Authority:
    folder.mkdir()
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of the tests")])
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    ca = (
        _builder(ca_name, ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    certificate = (
        _builder(name, ca_name, key)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(issuer, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    files = Authority(folder / "ca.pem", folder / "broker.pem", folder / "broker.key")
    files.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key.touch(mode=0o600)
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
    )


@dataclass
class RunningBroker:
    """`meritgrid broker serve` on a port, over a database."""

    port: int
    engine: Engine
    environment: dict[str, str]
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "market.cli", "broker", "serve"]
        with (self.folder / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | self.environment)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError((self.folder / "broker.log").read_text())

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            assert self.process.wait(15) == 0
            self.process = None


StartBroker = Callable[..., RunningBroker]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path / "certificates")


@pytest.fixture
def start_broker(tmp_path: Path, free_ports: Callable[[], int]) -> Iterator[StartBroker]:
    """Starts a broker with settings of one's choice; all are stopped in order at the end."""
    running: list[RunningBroker] = []

    def start(**settings: object) -> RunningBroker:
        folder = tmp_path / f"broker-{len(running)}"
        folder.mkdir()
        url = f"sqlite:///{folder / 'market.sqlite'}"
        migrate(url)
        port = free_ports()
        environment = {"MERITGRID_DATABASE_URL": url, "MERITGRID_MQTT__PORT": str(port)}
        environment |= {f"MERITGRID_MQTT__{name.upper()}": str(value) for name, value in settings.items()}
        broker = RunningBroker(port, open_engine(url), environment, folder)
        running.append(broker)
        broker.start()
        return broker

    yield start
    for broker in running:
        broker.stop()
        broker.engine.dispose()


@pytest.fixture
def mosquitto(tmp_path: Path, free_port: int) -> Iterator[Mosquitto]:
    """A running Mosquitto, ended at the end of the test."""
    broker = Mosquitto.in_folder(tmp_path, free_port)
    broker.start()
    yield broker
    broker.stop()
