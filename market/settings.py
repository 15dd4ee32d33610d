"""The one settings object: environment (MERITGRID_…, nested names joined by two underscores) over a .env file.

Secrets stay in files that only their owner may read; the settings hold their paths. Addresses of contracts come from
the deployment file, the calendar from the chain.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final, Self

from eth_account import Account
from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from market.clock import Clock, clock_from
from market.paths import DATA_DIR, deployment_file

_FORBIDDEN_MODE_BITS = stat.S_IRWXG | stat.S_IRWXO
_CREDENTIALS_DIRECTORY = "CREDENTIALS_DIRECTORY"
_KEY_BYTES = 32
DEFAULT_MESSAGES_PER_S: Final = 20.0
DEFAULT_MESSAGE_BURST: Final = 400


class SettingsError(Exception):
    """A setting, or a file that it names, cannot be used; the text says which and what helps."""


class ChainProfile(StrEnum):
    """Kind of chain: the development node, the permissioned network, or any other endpoint."""

    EMBEDDED = "embedded"
    NETWORK = "network"
    RPC = "rpc"


class KeySource(BaseModel):
    """Where a private key is: a file of mode 600 with 64 hex digits, or an encrypted keystore with a password file."""

    file: Path | None = None
    password_file: Path | None = None
    """Given: `file` is an encrypted keystore (Web3 Secret Storage)."""
    hex: SecretStr | None = None
    """The key itself, from the environment only; wins over the file."""

    @property
    def is_set(self) -> bool:
        return self.file is not None or self.hex is not None


class ApiSettings(BaseModel):
    """Where the API listens, and how others reach it."""

    host: str = "127.0.0.1"
    port: int = 8080
    base_url: str = "http://127.0.0.1:8080"
    trusted_proxies: str = ""
    """Addresses and networks, separated by commas, whose X-Forwarded-For is believed; none: nobody's."""
    calls_per_s: float = Field(default=20, gt=0)
    calls_at_once: int = Field(default=400, ge=1)
    """Of one signed-in caller: steadily [1/s], and after a rest."""
    address_calls_per_s: float = Field(default=200, gt=0)
    address_calls_at_once: int = Field(default=2000, ge=1)
    """The same of one address, whoever calls from it."""
    streams: int = Field(default=200, ge=1)
    streams_per_address: int = Field(default=20, ge=1)
    """Listeners to the stream at once."""
    connections: int = Field(default=2000, ge=1)
    """Open at once; beyond them a call is answered 503."""


class MqttSettings(BaseModel):
    """The broker as services reach it, and as gateways shall."""

    host: str = "127.0.0.1"
    port: int = 8883
    tls: bool = False
    ca_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    cert_file: Path | None = None
    cert_key_file: Path | None = None
    """The embedded broker's certificate (chain) and its key, PEM."""
    client_cert_file: Path | None = None
    client_key_file: Path | None = None
    """A service's own certificate and key, PEM, for a broker that asks for certificates."""
    enrolment_ca_file: Path | None = None
    enrolment_ca_key_file: Path | None = None
    """The enrolment authority's certificate and key. Given: gateways get certificates instead of passwords."""
    gateway_messages_per_s: float = Field(default=DEFAULT_MESSAGES_PER_S, gt=0)
    gateway_message_burst: int = Field(default=DEFAULT_MESSAGE_BURST, ge=1)
    """How many messages of one gateway the oracle takes, in the long run and at once."""
    gateway_host: str | None = None
    """Host that gateways are told at enrolment; None: the same."""
    gateway_port: int | None = None


class LogSettings(BaseModel):
    """Logs: their level, and whether each line is JSON."""

    level: str = "INFO"
    as_json: bool = False


class Settings(BaseSettings):
    """Settings of the market's and the oracle's processes and of the desks."""

    model_config = SettingsConfigDict(
        env_prefix="MERITGRID_", env_nested_delimiter="__", env_file=".env", extra="ignore", frozen=True
    )

    data_dir: Path = DATA_DIR
    database_url: str | None = None
    """SQLAlchemy URL; None: SQLite in `data_dir`."""
    rpc_url: str = "http://127.0.0.1:8545"
    chain_profile: ChainProfile = ChainProfile.EMBEDDED
    chain_id: int = 31337
    confirmations: int = Field(default=0, ge=0)
    """Blocks behind the head that the indexer stays; 0 where blocks are final at once."""
    deployment_file: Path | None = None
    """Addresses of the contracts as the deployment wrote them; None: deployments/<chain id>.json in `data_dir`."""
    clock: str = "system"
    """'system' or 'simulated:host:port'."""
    clock_name: str = ""
    clock_token: SecretStr = SecretStr("")
    time_zone: str = "Europe/Rome"
    """Of local days: statements, pages, day-ahead deadlines."""
    relayer_key: KeySource = KeySource()
    oracle_key: KeySource = KeySource()
    desk_key: KeySource = KeySource()
    """The key of a desk's role (DSO or aggregator)."""
    api: ApiSettings = ApiSettings()
    mqtt: MqttSettings = MqttSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _clock_fits_chain(self) -> Self:
        """Other chains than the embedded one keep real time, whatever a process believes."""
        if self.clock != "system" and self.chain_profile is not ChainProfile.EMBEDDED:
            raise ValueError(
                f"clock {self.clock!r} is for the embedded chain only, not for {self.chain_profile.value!r}"
            )
        return self

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the database."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'meritgrid.sqlite').absolute()}"

    @property
    def deployment_path(self) -> Path:
        """File with the addresses of the contracts."""
        return self.deployment_file or deployment_file(self.data_dir, self.chain_id)

    def open_clock(self, name: str = "") -> Clock:
        """The clock of this process; `name` is how the simulated clock's authority knows it."""
        return clock_from(self.clock, self.clock_name or name, self.clock_token.get_secret_value())


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()


def read_secret(path: Path) -> str:
    """Text of a secret file without surrounding white space.

    Raises:
        SettingsError: it is missing, empty, or others than its owner may use it.
    """
    try:
        # Opened first and asked then: the file that was checked is the file that is read.
        with path.open(encoding="utf-8") as secret:
            mode = stat.S_IMODE(os.fstat(secret.fileno()).st_mode)
            text = secret.read().strip()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    if mode & _forbidden_mode_bits(path):
        raise SettingsError(f"{path} has mode {mode:o}: others may use it; run chmod 600 {path}")
    if not text:
        raise SettingsError(f"{path} is empty")
    return text


def _forbidden_mode_bits(path: Path) -> int:
    """Of a secret file. What systemd hands a service (LoadCredential=) is in a folder that only the service may enter;
    it may grant the service's user its right by an access list, whose mask then shows as the group's right to read."""
    given = os.environ.get(_CREDENTIALS_DIRECTORY)
    if given and path.parent == Path(given):
        return _FORBIDDEN_MODE_BITS & ~stat.S_IRGRP
    return _FORBIDDEN_MODE_BITS


def load_private_key(source: KeySource) -> bytes:
    """The 32 bytes of a private key.

    Raises:
        SettingsError: no source is set, its file is missing or readable by others, or it holds no key.
    """
    if source.hex is not None:
        return _key_of_hex(source.hex.get_secret_value(), "the environment")
    if source.file is None:
        raise SettingsError("no private key is set")
    text = read_secret(source.file)
    if source.password_file is None:
        return _key_of_hex(text, str(source.file))
    return _key_of_keystore(text, read_secret(source.password_file), source.file)


@contextmanager
def write_secret(path: Path) -> Iterator[IO[str]]:
    """A new file of mode 600 to write a secret into; it is removed when that fails. FileExistsError: it is there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file
    except BaseException:
        path.unlink()
        raise


def write_private_key(path: Path, key: bytes, password_file: Path | None = None) -> None:
    """Write a private key into a new file of mode 600: as hex, or with a password as a Web3 keystore.

    Raises:
        SettingsError: the password file is missing or readable by others. FileExistsError: the file is there already.
    """
    text = key.hex() if password_file is None else json.dumps(Account.encrypt(key, read_secret(password_file)))
    with write_secret(path) as file:
        file.write(text + "\n")


def _key_of_hex(text: str, origin: str) -> bytes:
    try:
        key = bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise SettingsError(f"the private key in {origin} is not hex") from error
    if len(key) != _KEY_BYTES:
        raise SettingsError(f"the private key in {origin} has {len(key)} bytes instead of {_KEY_BYTES}")
    return key


def _key_of_keystore(text: str, password: str, path: Path) -> bytes:
    try:
        document: dict[str, Any] = json.loads(text)
        return bytes(Account.decrypt(document, password))
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} is no keystore that this password opens: {error}") from error
