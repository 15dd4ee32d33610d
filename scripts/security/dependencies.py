"""Every dependency with its version, as the lock files have it: docs/dependencies.md.

python -m scripts.security.dependencies           # fails where the page says something else
python -m scripts.security.dependencies --write   # writes it
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "dependencies.md"
REQUIREMENTS: Final = {
    "uv itself": "scripts/uv/requirements.txt",
    "Brownie": "scripts/brownie/requirements.txt",
    "slither and halmos": "scripts/analysis/requirements.txt",
    "schemathesis and pip-audit": "scripts/security/requirements.txt",
    "Go": "scripts/network/requirements.txt",
}
"""What an environment is for → its lock."""
_PINNED: Final = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)")
_GO: Final = re.compile(r"^\s*(?:require\s+)?([\w./~-]+\.[\w./~-]+)\s+(v\S+)")
_HEAD: Final = (
    "# Dependencies\n"
    "Written by `python -m scripts.security.dependencies --write` from the lock files; a test compares them. Every one "
    "is pinned by version and hash, and installed with both checked (`uv sync --locked`, `--require-hashes`, `npm ci`, "
    "`go.sum`).\n\n"
    "`make audit` asks the databases of PyPI (by pip-audit) and npm whether weaknesses of these versions are known. "
    "Both are online services without an offline copy; where they cannot be reached, the command says so and fails.\n"
)


@dataclass(frozen=True)
class Locked:
    """A dependency: its name and version, and the hashes by which what is installed is known."""

    name: str
    version: str
    hashes: tuple[str, ...]


def python_packages() -> list[Locked]:
    """Of uv.lock, but for the product itself."""
    document: dict[str, Any] = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    return [
        Locked(package["name"], package["version"], tuple(each.get("hash", "") for each in _files(package)))
        for package in document["package"]
        if "editable" not in package["source"]
    ]


def _files(package: dict[str, Any]) -> list[dict[str, Any]]:
    return [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]


def node_packages() -> list[Locked]:
    """Of package-lock.json, but for the product itself."""
    document: dict[str, Any] = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))
    return [
        Locked(path.rpartition("node_modules/")[2], package["version"], tuple(filter(None, [package.get("integrity")])))
        for path, package in document["packages"].items()
        if path
    ]


def required_packages(lock: str) -> list[Locked]:
    """Of a requirements.txt. Raises ValueError for a line that pins nothing."""
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        pinned = _PINNED.match(line)
        if pinned is None:
            raise ValueError(f"{lock}: {line.strip()!r} pins no version; compile it again with --generate-hashes")
        found.append(Locked(pinned[1], pinned[2], tuple(re.findall(r"--hash=(\S+)", line))))
    return found


def go_modules() -> list[Locked]:
    """Of go.mod, with the sums of go.sum."""
    folder = ROOT / "scripts" / "network"
    sums: dict[tuple[str, str], str] = {}
    for line in (folder / "go.sum").read_text(encoding="utf-8").splitlines():
        name, version, sum_ = line.split()
        sums[name, version] = sum_
    found = []
    for line in (folder / "go.mod").read_text(encoding="utf-8").splitlines():
        module = _GO.match(line)
        if module is not None:
            found.append(Locked(module[1], module[2], tuple(filter(None, [sums.get((module[1], module[2]))]))))
    return found


def sections() -> Iterator[tuple[str, str, list[Locked]]]:
    """(what for, lock, dependencies) of everything that is installed."""
    yield "Python", "uv.lock", python_packages()
    yield "Node", "package-lock.json", node_packages()
    yield "The permissioned network's programs", "scripts/network/go.sum", go_modules()
    for title, lock in REQUIREMENTS.items():
        yield title, lock, required_packages(lock)


def page() -> str:
    """docs/dependencies.md as it should be."""
    parts = [_HEAD]
    for title, lock, dependencies in sections():
        names = sorted({f"{each.name} {each.version}" for each in dependencies}, key=str.lower)
        parts.append(f"## {title}\n`{lock}`, {len(names)}:\n```text\n" + "\n".join(names) + "\n```\n")
    return "\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/dependencies.md")
    if parser.parse_args(arguments).write:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == page():
        return 0
    sys.stderr.write("docs/dependencies.md is not what the lock files say: run this with --write\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
