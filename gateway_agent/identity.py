"""The gateway's own key, in a file of mode 600 that is made on the first start.

A secp256k1 key stands in it as 0x and 64 hexadecimal digits, a P-256 key as PEM (PKCS #8), which names its curve.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from market.domain.gateway_key import KEY_BYTES, GatewayKey, KeyKind

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_PEM: Final = "-----BEGIN"


class UnsafeFile(Exception):
    """A secret that others can read, or a file that is no secret of this gateway."""


def load_identity(path: Path, kind: KeyKind | None = None) -> GatewayKey:
    """The key of a file; UnsafeFile when others may read it, it holds none (of this kind); FileNotFoundError."""
    text = read_secret(path).strip()
    key = _from_pem(path, text) if text.startswith(_PEM) else _from_hex(path, text)
    if kind is not None and key.kind is not kind:
        raise UnsafeFile(f"{path} holds a key of the kind {key.kind}; it must be {kind}")
    return key


def load_or_create_identity(path: Path, kind: KeyKind | None = None) -> GatewayKey:
    """The key of a file, which is made with mode 600 when there is none yet: of this kind, secp256k1 unless stated."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = GatewayKey.new(kind or KeyKind.SECP256K1)
        write_secret(path, key.to_pem() if key.kind is KeyKind.P256 else f"0x{key.private_key.hex()}\n")
    return load_identity(path, kind)


def _from_hex(path: Path, text: str) -> GatewayKey:
    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise UnsafeFile(f"{path} does not hold a private key in hexadecimal") from None
    if len(raw) != KEY_BYTES:
        raise UnsafeFile(f"{path} holds {len(raw)} bytes, a private key has {KEY_BYTES}")
    return GatewayKey.of(raw)


def _from_pem(path: Path, text: str) -> GatewayKey:
    try:
        return GatewayKey.from_pem(text)
    except ValueError as problem:
        raise UnsafeFile(f"{path} does not hold a private key that can be used: {problem}") from None


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
