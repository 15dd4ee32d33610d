"""Where a demonstration keeps what: one folder for all of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from market.grid.forecasts import FORECAST_FILE
from scripts.demo.keys import KeyRing

REPORT_FOLDER = "report"
REPORT_FILE = "report.json"
PICTURE_FILE = "day.png"


@dataclass(frozen=True)
class Layout:
    """Paths below the data folder."""

    folder: Path
    seed: int

    @property
    def keys(self) -> KeyRing:
        return KeyRing(self.folder / "keys", self.seed)

    @property
    def chain_state(self) -> Path:
        return self.folder / "chain" / "state.json"

    @property
    def deployment(self) -> Path:
        return self.folder / "chain" / "deployment.json"

    @property
    def database(self) -> Path:
        return self.folder / "market" / "meritgrid.sqlite"

    @property
    def broker_password(self) -> Path:
        """The oracle's, at the embedded broker."""
        return self.folder / "keys" / "oracle-broker.password"

    @property
    def broker(self) -> Path:
        return self.folder / "broker"

    @property
    def scenario(self) -> Path:
        return self.folder / "scenario"

    @property
    def node_forecast(self) -> Path:
        """What the DSO's desk and the oracle expect of the day."""
        return self.scenario / FORECAST_FILE

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def report(self) -> Path:
        return self.folder / REPORT_FOLDER

    def gateway(self, index: int) -> Path:
        return self.folder / "gateways" / f"{index:03d}"

    def ready(self, process: str) -> Path:
        return self.folder / "ready" / process

    def make(self) -> None:
        for path in (self.chain_state.parent, self.database.parent, self.broker):
            path.mkdir(parents=True, exist_ok=True)
        for path in (self.logs, self.report, self.folder / "ready"):
            path.mkdir(parents=True, exist_ok=True)
