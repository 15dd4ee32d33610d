"""The folder of a Mosquitto in production: configuration, access list, certificates, list of revoked ones.

`write_folder` makes all of it at once; `mosquitto -c FOLDER/mosquitto.conf` then runs. The embedded broker and this one
let the same clients publish and read the same topics: both go by `oracle.broker.limits`.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from market.plain_words import in_words
from market.services.enrolment_ca import EnrolmentCa, pem_of, pem_of_key
from market.settings import SettingsError, write_secret
from oracle.broker.limits import MAX_PACKET_BYTES, TO_GATEWAY, TO_ORACLE
from oracle.messages import topic_for

CONFIGURATION_FILE: Final = "mosquitto.conf"
ACL_FILE: Final = "acl"
CA_FILE: Final = "ca.pem"
SERVER_FILE: Final = "server.pem"
SERVER_KEY_FILE: Final = "server.key"
REVOKED_FILE: Final = "revoked.pem"
PID_FILE: Final = "data/mosquitto.pid"
GUARD: Final = "guard"
"""Name of the client that ends the connections of revoked ones."""
CONTROL_TOPIC: Final = "$CONTROL/dynamic-security/v1"

_SERVICE_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_PLUGIN_NAME: Final = "mosquitto_dynamic_security.so"
_PLUGIN_FOLDERS: Final = ("usr/lib/*", "usr/lib", "usr/local/lib")


@dataclass(frozen=True)
class Limits:
    """Of the broker as a whole: connections, messages on their way to one client, and what waits for it."""

    max_connections: int = 5_000
    max_inflight: int = 100
    max_queued: int = 20_000
    max_queued_bytes: int = 256 * 2**20


@dataclass(frozen=True)
class BrokerFolder:
    """What `write_folder` has made. services: for each service, file with certificate and file with key."""

    folder: Path
    port: int
    services: dict[str, tuple[Path, Path]]

    @property
    def configuration(self) -> Path:
        """For `mosquitto -c`."""
        return self.folder / CONFIGURATION_FILE

    @property
    def ca_file(self) -> Path:
        """What clients trust the broker by."""
        return self.folder / CA_FILE


def write_folder(
    folder: Path,
    port: int,
    authority: EnrolmentCa,
    *,
    bind: str = "127.0.0.1",
    hosts: Sequence[str] = ("127.0.0.1", "localhost"),
    oracles: Sequence[str] = ("oracle",),
    limits: Limits | None = None,
    user: str | None = None,
    home: Path | None = None,
    plugin: Path | None = None,
) -> BrokerFolder:
    """Write a complete folder for a Mosquitto: the broker's certificate for `hosts`, and one for each service.

    oracles: names of the oracles' processes, each its own, since the broker keeps one session for each name.
    user: whom Mosquitto becomes when root starts it, by default whoever writes the folder. home: where the folder will
    be when it is used, if it is carried to another machine. plugin: Mosquitto's dynamic-security plugin, found by
    itself where Mosquitto is installed. The authority's key is not put there.

    Raises:
        SettingsError: a name cannot be used, or the plugin is not found. FileExistsError: the folder is in use.
        PermissionError, LookupError: the folder cannot be given to that user.
    """
    names = (*oracles, GUARD)
    for name in names:
        require_service_name(name)
    values = {
        "folder": home or folder.absolute(),
        "port": port,
        "bind": bind,
        "user": user or getpass.getuser(),
        "plugin": plugin or find_plugin(),
        "max_packet_bytes": MAX_PACKET_BYTES,
        **asdict(limits or Limits()),
    }
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    (folder / "data").mkdir(mode=0o750)
    _write_server(folder, authority, hosts)
    (folder / CA_FILE).write_text(authority.pem, encoding="utf-8")
    (folder / REVOKED_FILE).write_text(pem_of(authority.revocation_list(0, ())), encoding="utf-8")
    (folder / ACL_FILE).write_text(access_list(oracles), encoding="utf-8")
    with write_secret(folder / "data" / "dynamic-security.json") as file:
        json.dump(_NO_ACCESS_BY_THE_PLUGIN, file)
    template = files("oracle.broker").joinpath("mosquitto.conf.template").read_text(encoding="utf-8")
    (folder / CONFIGURATION_FILE).write_text(Template(template).substitute(values), encoding="utf-8")
    (folder / "services").mkdir(mode=0o700)
    services = {name: write_service(authority, folder / "services", name) for name in names}
    if user is not None:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, user)
    return BrokerFolder(folder, port, services)


_NO_ACCESS_BY_THE_PLUGIN: Final = {
    "defaultACLAccess": {
        "publishClientSend": False,
        "publishClientReceive": False,
        "subscribe": False,
        "unsubscribe": True,
    },
    "clients": [],
    "groups": [],
    "roles": [],
}


def no_brokers_folder(folder: Path, problem: Exception) -> str:
    """What is said of a folder in which a broker's files cannot be read."""
    return (
        f"{folder} is no broker's folder ({in_words(problem)}): "
        f"`meritgrid broker mosquitto --folder {folder}` makes one"
    )


def renew_server(folder: Path, authority: EnrolmentCa) -> None:
    """Another key and certificate for the broker, for the same hosts; Mosquitto reads them on SIGHUP.

    Raises:
        SettingsError: the folder is none of a broker.
    """
    try:
        present = x509.load_pem_x509_certificate((folder / SERVER_FILE).read_bytes())
        names = present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound) as problem:
        raise SettingsError(no_brokers_folder(folder, problem)) from problem
    hosts = [str(host) for kind in (x509.DNSName, x509.IPAddress) for host in names.get_values_for_type(kind)]
    draft = folder / "renewed"
    draft.mkdir(mode=0o700, exist_ok=True)
    (draft / SERVER_KEY_FILE).unlink(missing_ok=True)
    _write_server(draft, authority, hosts)
    for name in (SERVER_KEY_FILE, SERVER_FILE):
        owner = (folder / name).stat()
        os.chown(draft / name, owner.st_uid, owner.st_gid)
        (draft / name).replace(folder / name)
    draft.rmdir()


def _write_server(folder: Path, authority: EnrolmentCa, hosts: Sequence[str]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with write_secret(folder / SERVER_KEY_FILE) as file:
        file.write(pem_of_key(key))
    certificate = pem_of(authority.sign_server(key.public_key(), hosts))
    (folder / SERVER_FILE).write_text(certificate, encoding="utf-8")


def access_list(oracles: Sequence[str]) -> str:
    """Mosquitto's acl_file: gateways under their own name, the oracles on all of ours, the guard on its control."""
    lines = ["# Written by `meritgrid broker mosquitto`. %u is the common name of a client's certificate."]
    lines += [f"pattern write {topic_for('%u', channel)}" for channel in sorted(TO_ORACLE)]
    lines += [f"pattern read {topic_for('%u', channel)}" for channel in sorted(TO_GATEWAY)]
    for name in oracles:
        lines += ["", f"user {name}"]
        lines += [f"topic read {topic_for('+', channel)}" for channel in sorted(TO_ORACLE)]
        lines += [f"topic write {topic_for('+', channel)}" for channel in sorted(TO_GATEWAY)]
    lines += ["", f"user {GUARD}", f"topic write {CONTROL_TOPIC}", f"topic read {CONTROL_TOPIC}/response"]
    return "\n".join(lines) + "\n"


def write_service(authority: EnrolmentCa, folder: Path, name: str) -> tuple[Path, Path]:
    """A new key of mode 600 and its certificate for a service: files NAME.pem and NAME.key.

    Raises:
        SettingsError: the name is none of a service. FileExistsError: there is such a key.
    """
    require_service_name(name)
    key = ec.generate_private_key(ec.SECP256R1())
    with write_secret(folder / f"{name}.key") as file:
        file.write(pem_of_key(key))
    (folder / f"{name}.pem").write_text(pem_of(authority.sign_client(key.public_key(), name)), encoding="utf-8")
    return folder / f"{name}.pem", folder / f"{name}.key"


def require_service_name(name: str) -> None:
    """Raises SettingsError for a name that a gateway could have, or that the access list cannot hold."""
    if _SERVICE_NAME.fullmatch(name) is None:
        raise SettingsError(
            f"{name!r} cannot be a service's name: lower-case letters, digits and hyphens, at most 63, a letter first"
        )


def find_plugin(root: Path = Path("/")) -> Path:
    """Mosquitto's dynamic-security plugin, which Debian's package brings. SettingsError where there is none."""
    found = sorted(each for folder in _PLUGIN_FOLDERS for each in root.glob(f"{folder}/{_PLUGIN_NAME}"))
    if not found:
        raise SettingsError(f"there is no {_PLUGIN_NAME} here: apt-get install mosquitto, or say where it is")
    return found[0]


def find_program() -> str:
    """The program `mosquitto`, also where a user's PATH lacks /usr/sbin. SettingsError where there is none."""
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise SettingsError("there is no program `mosquitto` here: apt-get install mosquitto")
    return found
