"""Building the three programs of the network from pinned Go modules: node, virtual machine, launcher.

Go is the one on PATH where it is new enough for go.mod, else the one that `make network-build` installs (.golang).
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.network.layout import NetworkError

MODULE: Final = Path(__file__).resolve().parent
ROOT: Final = MODULE.parents[1]
VM_ID: Final = "srEXiWaHuhNyGwPUi444Tu47ZEDwxTWrbQiuD7FmgSAQ6X7Dy"
"""The virtual machine's id: its file in the plugin folder bears it."""
_PACKAGES: Final = ("github.com/ava-labs/avalanchego/main", "./vm", "./launcher")
_SELF: Final = Path(__file__).resolve()


@dataclass(frozen=True)
class Programs:
    """Where the built programs are."""

    folder: Path = ROOT / ".network"

    @property
    def node(self) -> Path:
        return self.folder / "avalanchego"

    @property
    def plugins(self) -> Path:
        return self.folder / "plugins"

    @property
    def launcher(self) -> Path:
        return self.folder / "launcher"

    def missing(self) -> list[Path]:
        """Programs that have not been built."""
        return [path for path in (self.node, self.plugins / VM_ID, self.launcher) if not path.exists()]

    def require(self) -> None:
        """Raises NetworkError where one is missing."""
        if missing := self.missing():
            raise NetworkError(f"{missing[0]} is missing: `make network-build` builds it")


def build(programs: Programs) -> None:
    """Build, unless the programs are of these sources and this Go already.

    Raises:
        NetworkError: Go is missing or too old, or the build fails.
    """
    go = find_go()
    stamp, state = programs.folder / "built-from", _state_of_sources(go)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == state and not programs.missing():
        return
    stamp.unlink(missing_ok=True)
    scratch = programs.folder / "new"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    programs.plugins.mkdir(exist_ok=True)
    # With the node's own profile (pgo) every module would be compiled twice, once for the node alone.
    options = ["-mod=readonly", "-trimpath", "-pgo=off", "-ldflags=-s -w"]
    command = [go, "build", *options, "-o", f"{scratch}/", *_PACKAGES]
    if subprocess.run(command, cwd=MODULE, check=False).returncode != 0:
        raise NetworkError("the network's programs could not be built")
    # One after the other into place: a node that runs keeps the file that it was started from.
    for name, place in (("vm", programs.plugins / VM_ID), ("main", programs.node), ("launcher", programs.launcher)):
        (scratch / name).replace(place)
    scratch.rmdir()
    stamp.write_text(state, encoding="utf-8")


def _state_of_sources(go: str) -> str:
    version = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout
    digest = hashlib.sha256(version.encode())
    for path in sorted(path for path in MODULE.rglob("*") if path.suffix in {".go", ".mod", ".sum"} or path == _SELF):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def find_go() -> str:
    """The newest usable `go`: on PATH, else our own.

    Raises:
        NetworkError: none is as new as go.mod asks.
    """
    wanted = _version((MODULE / "go.mod").read_text(encoding="utf-8"), r"^go (\S+)$")
    found = []
    for candidate in (shutil.which("go"), str(ROOT / ".golang" / "bin" / "go")):
        if candidate is None or not Path(candidate).exists():
            continue
        told = subprocess.run([candidate, "version"], capture_output=True, text=True, check=False)
        if told.returncode == 0 and _version(told.stdout, r"go version go(\S+) ") >= wanted:
            return candidate
        found.append(f"{candidate}: {told.stdout.strip() or told.stderr.strip()}")
    needed = ".".join(map(str, wanted))
    raise NetworkError(f"Go {needed} or later is needed ({'; '.join(found) or 'none found'}): run `make network-build`")


def _version(text: str, pattern: str) -> tuple[int, ...]:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise NetworkError(f"no version of Go in {text.strip()[:200]!r}")
    return tuple(int(part) for part in re.findall(r"\d+", match[1]))
