"""What a demonstration's folder says of itself, so that it can be resumed: options, ports, how far it has come."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scripts.demo.options import DemoOptions

MANIFEST_FILE = "demo.json"
CLOCK_FILE = "clock"


class NotResumable(ValueError):
    """A folder that holds no demonstration that could go on."""


@dataclass(frozen=True)
class Manifest:
    """ports: by process; is_set_up: everybody is registered and enrolled; pids: of what runs, or ran last."""

    options: DemoOptions
    ports: Mapping[str, int]
    is_set_up: bool = False
    pids: Mapping[str, int] | None = None

    def write(self) -> None:
        document = {
            "options": self.options.to_json(),
            "ports": dict(self.ports),
            "market": f"http://127.0.0.1:{self.ports['market']}",
            "is_set_up": self.is_set_up,
            "pids": dict(self.pids or {}),
        }
        _write(self.options.data_folder / MANIFEST_FILE, json.dumps(document, indent=2) + "\n")


def read_manifest(folder: Path, speed: float | None = None) -> Manifest:
    """The manifest of a folder. Raises NotResumable."""
    path = folder / MANIFEST_FILE
    try:
        document: Any = json.loads(path.read_text())
        options = DemoOptions.from_json(document["options"], folder.absolute(), speed)
        return Manifest(options, document["ports"], bool(document["is_set_up"]), document["pids"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise NotResumable(f"{folder} holds no demonstration to resume: {problem}") from problem


def set_up_done(manifest: Manifest, pids: Mapping[str, int]) -> Manifest:
    return replace(manifest, is_set_up=True, pids=pids)


def note_time(folder: Path, now_s: float) -> None:
    """Keep the simulated time [epoch s]: from there a resumed day goes on."""
    _write(folder / CLOCK_FILE, f"{int(now_s)}\n")


def noted_time(folder: Path) -> int | None:
    path = folder / CLOCK_FILE
    return int(path.read_text()) if path.exists() else None


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.replace(path)
