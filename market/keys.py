"""Private keys from files: plain hex, or an encrypted keystore; only files that nobody else can read."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from market.domain.errors import Category, MeritgridError

_KEY_BYTES = 32


class KeyFileRefused(MeritgridError):
    """A key file that is missing, readable by others, or does not hold a key. Never names the key itself."""

    def __init__(self, path: Path, rule: str) -> None:
        super().__init__(
            "key-file-refused", "The key file cannot be used", f"{path}: {rule}", {"path": str(path)}, Category.INVALID
        )


def read_private_key(path: Path, password: str | None = None) -> bytes:
    """The 32 bytes of a private key: 64 hex digits, or an encrypted keystore (JSON, version 3) and its password.

    Raises:
        KeyFileRefused: the file is missing, others can read it, or it holds no key.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text().strip()
    except OSError as problem:
        raise KeyFileRefused(path, f"cannot be read: {problem.strerror}") from problem
    if mode & 0o077:
        raise KeyFileRefused(path, f"has mode {mode:o}; make it 600 (chmod 600)")
    if text.startswith("{"):
        return _decrypt(path, text, password)
    try:
        key = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise KeyFileRefused(path, "holds no hexadecimal key") from None
    if len(key) != _KEY_BYTES:
        raise KeyFileRefused(path, f"holds {len(key)} bytes; a key has {_KEY_BYTES}")
    return key


def _decrypt(path: Path, text: str, password: str | None) -> bytes:
    from eth_account import Account  # noqa: PLC0415 - only keystores need it

    if password is None:
        raise KeyFileRefused(path, "is encrypted; give its password")
    try:
        return bytes(Account.decrypt(json.loads(text), password))
    except ValueError as problem:
        raise KeyFileRefused(path, f"cannot be decrypted: {problem}") from problem
