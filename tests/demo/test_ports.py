"""No two processes are given the same port, also before anybody listens on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.demo import supervisor

FEW = range(31_900, 32_000)
TAKE_HALF = f"""
from scripts.demo import supervisor
supervisor._PORTS = range({FEW.start}, {FEW.stop})
print(*(supervisor.free_port() for _ in range({len(FEW) // 2})), flush=True)
input()
"""


def test_a_port_is_given_once_to_one_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two test runs had started a node each on one port; the first answered both. A claim leaves no file, and holds
    also against a process that has a temporary folder of its own."""
    monkeypatch.setattr(supervisor, "_PORTS", FEW)
    with subprocess.Popen(
        [sys.executable, "-c", TAKE_HALF],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    ) as other:
        assert other.stdout is not None
        theirs = {int(port) for port in other.stdout.readline().split()}
        ours = [supervisor.free_port() for _ in range(len(FEW) // 3)]
        other.communicate("\n")
    assert len(theirs) == len(FEW) // 2
    assert len(set(ours)) == len(ours)
    assert theirs.isdisjoint(ours)
    assert list(tmp_path.iterdir()) == []


def test_ports_come_back_after_many_others() -> None:
    for _ in range(2 * (supervisor._CLAIMS.maxlen or 0)):
        supervisor.free_port()
    assert len(supervisor._CLAIMS) == supervisor._CLAIMS.maxlen
