"""The keys of a demonstration: one file of mode 600 for each role, owner and delegate, made on first use.

They follow from the seed, so that the same day has the same addresses, offers and order of bids at every run, and can
be compared to the micro-euro. They are worth nothing outside the chain that the demonstration starts.
"""

from __future__ import annotations

import os
from pathlib import Path

from market.domain.hashing import keccak256
from market.domain.signing import address_of

ROLES = ("operator", "oracle", "relayer", "referee", "dso", "aggregator")


class KeyRing:
    """Private keys by name in a folder. Names: a role, owner-<index>, delegate-<index>."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._seed = seed
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """File of the key, made if it is not there yet."""
        path = self._folder / f"{name}.key"
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write("0x" + keccak256(f"meritgrid demo {self._seed} {name}".encode()).hex() + "\n")
        return path

    def key(self, name: str) -> bytes:
        return bytes.fromhex(self.path(name).read_text().strip().removeprefix("0x"))

    def address(self, name: str) -> str:
        return address_of(self.key(name))
