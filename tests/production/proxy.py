"""A real nginx with the committed configuration: only its addresses and places of files are those of a test."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import re
import shutil
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from scripts.demo.supervisor import free_port
from tests.production.conftest import PRODUCTION, process

CONFIGURATION = PRODUCTION / "nginx" / "meritgrid.conf"
DEBIANS_OWN = Path("/etc/nginx/nginx.conf")
HOST = "market.example"
_UPSTREAM = "server 127.0.0.1:8080;"
_START_WITHIN_S = 15.0


@dataclass(frozen=True)
class Proxy:
    """Where it listens, and the folder of its logs."""

    port: int
    plain_port: int
    folder: Path
    pid: int

    @property
    def trust(self) -> ssl.SSLContext:
        """What a client trusts it by."""
        return ssl.create_default_context(cafile=str(self.folder / "fullchain.pem"))

    def client(self, host: str = HOST) -> httpx.Client:
        """A client that asks it for a host."""
        return httpx.Client(
            base_url=f"https://{HOST}",
            headers={"Host": host},
            transport=_Resolved(self.port, verify=self.trust),
            timeout=30,
        )


class _Resolved(httpx.HTTPTransport):
    """Goes to 127.0.0.1 for the one name, as a resolver would."""

    def __init__(self, port: int, verify: ssl.SSLContext) -> None:
        super().__init__(verify=verify)
        self._port = port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "sni_hostname": request.url.host}
        request.url = request.url.copy_with(host="127.0.0.1", port=self._port)
        return super().handle_request(request)


@contextmanager
def nginx(folder: Path, upstream: str) -> Iterator[Proxy]:
    """Run nginx before a market's address (host:port) until the end of the block."""
    port, plain_port = free_port(), free_port()
    write_certificate(folder)
    configuration = CONFIGURATION.read_text(encoding="utf-8")
    lines = [line for line in configuration.splitlines() if "listen [::]" not in line]
    text = "\n".join(lines)
    for committed, here in (
        ("listen 443 ", f"listen 127.0.0.1:{port} "),
        ("listen 80;", f"listen 127.0.0.1:{plain_port};"),
        ("/etc/letsencrypt/live/market.example/", f"{folder}/"),
        ("/var/log/nginx/meritgrid/", f"{folder}/"),
        (_UPSTREAM, f"server {upstream};"),
    ):
        assert committed in text, committed
        text = text.replace(committed, here)
    (folder / "meritgrid.conf").write_text(text, encoding="utf-8")
    (folder / "nginx.conf").write_text(_main(folder), encoding="utf-8")
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "nginx is missing: make .stamp-test-packages installs it"
    command = [program, "-c", str(folder / "nginx.conf"), "-e", str(folder / "start.log"), "-p", str(folder)]
    with process(command, folder, "nginx.log", dict(os.environ)) as started:
        deadline = time.monotonic() + _START_WITHIN_S
        while not (folder / "nginx.pid").exists() or not (folder / "nginx.pid").read_text().strip():
            assert started.poll() is None, (folder / "start.log").read_text() + (folder / "nginx.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Proxy(port, plain_port, folder, started.pid)


def _main(folder: Path) -> str:
    """Debian's own main file, with ours where conf.d would be."""
    text = DEBIANS_OWN.read_text(encoding="utf-8")
    for debians, here in (
        (r"^user .*", "user root;" if os.geteuid() == 0 else ""),
        (r"^worker_processes .*", "daemon off;\nworker_processes 1;"),
        (r"^pid .*", f"pid {folder}/nginx.pid;"),
        (r"^(\s*)(access|error)_log .*", rf"\1\2_log {folder}/debian.log;"),
        (r"^include /etc/nginx/modules-enabled/.*", ""),
        (r"^(\s*)include /etc/nginx/conf\.d/.*", rf"\1include {folder}/meritgrid.conf;\n{_temporary(folder)}"),
        (r"^\s*include /etc/nginx/sites-enabled/.*", ""),
    ):
        text, replaced = re.subn(debians, here, text, flags=re.MULTILINE)
        assert replaced, debians
    return text


def _temporary(folder: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)


def write_certificate(folder: Path) -> None:
    """fullchain.pem and privkey.pem of the host, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName(HOST), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "privkey.pem").write_bytes(private)
