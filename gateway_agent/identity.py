"""The gateway's own key: a file of mode 600 with a secp256k1 private key, made on the first start."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from market.domain.signing import address_of, new_private_key

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_KEY_BYTES: Final = 32


class UnsafeFile(Exception):
    """A secret that others can read, or a file that is no secret of this gateway."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A private key (32 bytes) and its address (EIP-55)."""

    private_key: bytes
    address: str

    def __repr__(self) -> str:
        return f"Identity({self.address})"


def load_identity(path: Path) -> Identity:
    """The key of a file; UnsafeFile when others may read it or it holds no key; FileNotFoundError."""
    key = read_secret(path).strip().removeprefix("0x")
    try:
        raw = bytes.fromhex(key)
    except ValueError:
        raise UnsafeFile(f"{path} does not hold a private key in hexadecimal") from None
    if len(raw) != _KEY_BYTES:
        raise UnsafeFile(f"{path} holds {len(raw)} bytes, a private key has {_KEY_BYTES}")
    return Identity(raw, address_of(raw))


def load_or_create_identity(path: Path) -> Identity:
    """The key of a file, which is made with mode 600 when there is none yet."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret(path, "0x" + new_private_key().hex() + "\n")
    return load_identity(path)


def read_secret(path: Path) -> str:
    """Content of a secret file; UnsafeFile when group or others have any right on it."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS:
        raise UnsafeFile(f"{path} has mode {mode:o}; it holds a secret and must have 600: chmod 600 {path}")
    return path.read_text(encoding="utf-8")


def write_secret(path: Path, content: str) -> None:
    """Write a secret file of mode 600: wholly or not at all, on disk before it returns."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
