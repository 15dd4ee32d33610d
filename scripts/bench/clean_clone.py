"""Times what a new user does: a clean clone, empty package caches, and the commands of the README.

    python -m scripts.bench.clean_clone [demo] [network] [test]

All of it takes over an hour, `network` alone some minutes. Debian packages that are there already are not installed
again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.bench.figures import ROOT, Row, replace_rows


@dataclass(frozen=True, slots=True)
class Step:
    """A command in a clone. figure: of the time that it takes; None: it only makes the next one possible."""

    figure: str | None
    clone: str
    command: tuple[str, ...]


STEPS: Final = {
    "demo": (
        Step("make_setup_cold_s", "clean", ("make", "setup")),
        Step("make_demo_once_s", "clean", ("make", "demo", "ONCE=1")),
        Step("make_setup_warm_s", "again", ("make", "setup")),
    ),
    "network": (
        Step("make_network_cold_s", "network", ("make", "network")),
        Step(None, "network", ("make", "network-stop")),
        Step("make_network_again_s", "network", ("make", "network")),
        Step(None, "network", ("make", "network-remove")),
        Step("make_network_new_s", "network", ("make", "network")),
    ),
    "test": (Step("make_test_s", "again", ("make", "test")),),
}
"""What may be timed → its steps. The caches are those of one run: what comes first fills them."""


def caches(folder: Path) -> dict[str, str]:
    """Environment in which no package manager finds what it has fetched before."""
    names = ("UV_CACHE_DIR", "npm_config_cache", "PIP_CACHE_DIR", "GOMODCACHE", "GOCACHE")
    return {name: str(folder / name.lower()) for name in names} | {"GOFLAGS": "-modcacherw"}


def main() -> None:
    """Run the steps in order; the first that fails ends it."""
    wanted = sys.argv[1:] or list(STEPS)
    if unknown := [name for name in wanted if name not in STEPS]:
        raise SystemExit(f"there is no {', '.join(unknown)} to time; there are {', '.join(STEPS)}")
    steps = [step for name in wanted for step in STEPS[name]]
    how = f"python -m scripts.bench.clean_clone {' '.join(wanted)}: clean clone, empty caches, one run"
    with tempfile.TemporaryDirectory(prefix="meritgrid-clean-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the database of the tests runs as another account, and reads files of the clone
        for clone in {step.clone for step in steps}:
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / clone)], check=True)
        try:
            for step in steps:
                time_step(step, folder, how)
        finally:
            if "network" in wanted:  # it runs in the background
                subprocess.run(["make", "network-remove"], cwd=folder / "network", check=False)


def time_step(step: Step, folder: Path, how: str) -> None:
    """Run it in its clone, and write its figure where it has one."""
    started = time.monotonic()
    subprocess.run(step.command, cwd=folder / step.clone, env=os.environ | caches(folder / "caches"), check=True)
    taken_s = round(time.monotonic() - started, 1)
    if step.figure is not None:
        replace_rows("clean_clone.json", [Row(step.figure, 1, taken_s, "s", how)])
        print(f"{step.figure}: {taken_s} s", flush=True)  # noqa: T201 - the command's answer


if __name__ == "__main__":
    main()
