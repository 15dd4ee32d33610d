"""The keys of a demonstration: one file of mode 600 for each role, owner and delegate, made on first use."""

from __future__ import annotations

import os
from pathlib import Path

from market.domain.signing import address_of, new_private_key

ROLES = ("operator", "oracle", "relayer", "referee", "dso", "aggregator")


class KeyRing:
    """Private keys by name in a folder. Names: a role, owner-<index>, delegate-<index>."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """File of the key, made if it is not there yet."""
        path = self._folder / f"{name}.key"
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write("0x" + new_private_key().hex() + "\n")
        return path

    def key(self, name: str) -> bytes:
        return bytes.fromhex(self.path(name).read_text().strip().removeprefix("0x"))

    def address(self, name: str) -> str:
        return address_of(self.key(name))
