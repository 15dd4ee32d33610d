"""A gateway's configuration: what its installer and owner wrote (gateway.toml) and what enrolment brought.

Folder of a gateway: gateway.toml, gateway.key (its own key), enrolment.json (mode 600), buffer.sqlite, and broker.pem
where the broker asks for a certificate.
"""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway_agent.identity import read_secret
from market.domain.typed_data import Domain

SETTINGS_FILE: Final = "gateway.toml"
KEY_FILE: Final = "gateway.key"
ENROLMENT_FILE: Final = "enrolment.json"
BUFFER_FILE: Final = "buffer.sqlite"
BROKER_FILE: Final = "broker.pem"
"""Key and certificate for a broker that asks for certificates."""

Price = Annotated[int, Field(ge=0, lt=2**29)]
Permille = Annotated[int, Field(ge=0, le=1000)]
Window = tuple[int, int]


class BadConfiguration(ValueError):
    """A configuration that cannot be used; the text names every problem."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LimitSettings(_Section):
    """[limits]: of the connection and of control. Powers [W], load convention; None: no limit but the hardware's."""

    fuse_withdrawal_w: Annotated[int, Field(ge=0)] | None = None
    fuse_injection_w: Annotated[int, Field(ge=0)] | None = None
    ramp_w_per_s: Annotated[int, Field(gt=0)] | None = None
    dwell_s: Annotated[int, Field(ge=0)] | None = None
    grace_s: Annotated[int, Field(ge=0)] = 900
    """A dispatch is aborted when the connection is lost for longer [s]."""


class BiddingSettings(_Section):
    """[bidding]: the owner's policy. Prices in micro-euro per kWh, energies in Wh.

    price_floor_ueur_kwh: least price for which a kind of device is moved; kinds that are not named are not offered.
    value_ueur_kwh: what energy taken is worth to the owner, by kind (for offers that sell). markup_permille: share of
    the way from floor to limit price that is asked. confidence_permille: share of the forecast flexibility that is
    offered. reserve_soc_permille: state of charge kept for the owner. opt_out: local days without any bid.
    key_file: the key that signs bids, the seat's delegate or its owner; lowest_price_ueur_kwh, largest_quantity_wh and
    cover_cents: the limits that the seat gives that key.
    """

    enabled: bool = True
    key_file: Path | None = None
    signer: Literal["delegate", "owner"] = "delegate"
    price_floor_ueur_kwh: dict[str, Price] = Field(default_factory=dict)
    value_ueur_kwh: dict[str, Price] = Field(default_factory=dict)
    markup_permille: Permille = 300
    confidence_permille: Permille = 900
    reserve_soc_permille: Permille = 100
    minimum_wh: Annotated[int, Field(ge=0, lt=2**24)] = 0
    smallest_quantity_wh: Annotated[int, Field(ge=1, lt=2**24)] = 10
    lowest_price_ueur_kwh: Price = 0
    largest_quantity_wh: Annotated[int, Field(ge=1, lt=2**24)] = 2**24 - 1
    cover_cents: Annotated[int, Field(ge=0, lt=2**24)] | None = None
    opt_out: tuple[date, ...] = ()

    @model_validator(mode="after")
    def _with_key(self) -> Self:
        if self.enabled and self.price_floor_ueur_kwh and self.key_file is None:
            raise ValueError("bidding needs key_file, the key that signs the bids")
        return self


class StorageSettings(_Section):
    """[storage]: of the local buffer."""

    most_megabytes: Annotated[int, Field(ge=4)] = 256


class Settings(_Section):
    """gateway.toml. tls_ca_file: certificates by which the broker is trusted, instead of the system's; outages: windows
    [from, to] in epoch seconds in which the uplink is cut (demonstrations)."""

    driver: dict[str, Any]
    limits: LimitSettings = LimitSettings()
    bidding: BiddingSettings = BiddingSettings()
    storage: StorageSettings = StorageSettings()
    tls_ca_file: Path | None = None
    outages: tuple[Window, ...] = ()


class Broker(BaseModel):
    """How the broker is reached, and by what it knows the gateway.

    tls_ca_file, else trusted (PEM): certificates to trust instead of the system's. certificate_file: the gateway's own
    key and certificate.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    host: str
    port: Annotated[int, Field(gt=0, lt=65536)]
    tls: bool = False
    tls_ca_file: Path | None = None
    trusted: str | None = None
    authentication: Literal["password", "certificate"] = "password"
    username: str | None = None
    password: str | None = None
    certificate_file: Path | None = None


class Contracts(BaseModel):
    """Addresses of the contracts whose domains the gateway signs or checks in."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    settlement: str
    auction: str
    signals: str


class Enrolled(BaseModel):
    """What the market answers to an enrolment, and where it is (`market_url`). Unknown fields are left alone.

    oracle, dso, relayer: addresses whose signatures count; time_unit_s: the market's time unit u.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    market_url: str
    nanogrid: Annotated[int, Field(ge=0, lt=2**48)]
    gateway: str
    portfolio: Annotated[int, Field(ge=0, lt=2**32)]
    index: Annotated[int, Field(ge=0, lt=2**16)]
    node: int
    chain_id: int
    contracts: Contracts
    oracle: str
    dso: str
    relayer: str | None = None
    time_unit_s: Annotated[int, Field(gt=0)]
    mqtt: Broker
    api_key: str

    @property
    def settlement(self) -> Domain:
        """Domain of readings, dispatches, acknowledgements and seals."""
        return Domain(self.chain_id, self.contracts.settlement)

    @property
    def auction(self) -> Domain:
        """Domain of bids and their receipts."""
        return Domain(self.chain_id, self.contracts.auction)

    @property
    def signals(self) -> Domain:
        """Domain of the DSO's commands."""
        return Domain(self.chain_id, self.contracts.signals)


def load_settings(folder: Path) -> Settings:
    """gateway.toml of a folder; BadConfiguration, FileNotFoundError."""
    path = folder / SETTINGS_FILE
    try:
        return Settings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as problem:
        raise BadConfiguration(f"{path}: {problem}") from None
    except ValidationError as problem:
        raise BadConfiguration(problems_of(path.name, problem)) from None


def load_enrolled(folder: Path) -> Enrolled:
    """enrolment.json of a folder; BadConfiguration when the gateway is not enrolled or the file is broken."""
    path = folder / ENROLMENT_FILE
    if not path.exists():
        raise BadConfiguration(f"{folder} is not enrolled yet: run `meritgrid gateway enrol --data {folder} --code …`")
    try:
        return Enrolled.model_validate_json(read_secret(path))
    except ValidationError as problem:
        raise BadConfiguration(problems_of(path.name, problem)) from None


def problems_of(name: str, problem: ValidationError) -> str:
    """All problems of a document, one a line: file, field, rule."""
    return "\n".join(
        f"{name}: {'.'.join(map(str, error['loc'])) or '(whole)'}: {error['msg']}"
        for error in problem.errors(include_url=False)
    )
