"""Packages are asked for only when their probe fails, and then all in one call."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "debian_packages.sh"


@pytest.fixture
def apt_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recording apt-get (and sudo) in front of PATH: the machine's packages are not a test's to change."""
    log = tmp_path / "calls"
    log.touch()
    for name in ("apt-get", "sudo"):
        stub = tmp_path / name
        stub.write_text(f'#!/bin/sh\n[ {name} = sudo ] && exec "$@"\necho "$@" >> {log}\n')
        stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return log


def ask(*pairs: str) -> None:
    subprocess.run([SCRIPT, *pairs], check=True, capture_output=True, timeout=30)


def test_what_is_there_is_not_installed(apt_log: Path) -> None:
    ask("command -v sh", "dash", "true", "anything")
    assert apt_log.read_text() == ""


def test_what_is_missing_is_installed_in_one_call(apt_log: Path) -> None:
    ask("command -v no-such-program", "first second", "true", "present", "false", "third")
    update, install = apt_log.read_text().splitlines()
    assert update.startswith("update")
    assert install.split()[-3:] == ["first", "second", "third"]
