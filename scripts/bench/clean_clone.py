"""Times what a new user does: a clean clone, empty package caches, `make demo ONCE=1`, and `make test`.

    python -m scripts.bench.clean_clone

Takes about an hour. Debian packages that are there already are not installed again.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from scripts.bench.figures import ROOT, write

STEPS = {
    "make_setup_cold_s": ("clean", ["make", "setup"]),
    "make_demo_once_s": ("clean", ["make", "demo", "ONCE=1"]),
    "make_setup_warm_s": ("again", ["make", "setup"]),
    "make_test_s": ("again", ["make", "test"]),
}
"""Figure → clone, and command there. The second clone finds the package caches that the first has filled."""


def main() -> None:
    """Run the steps in order; the first that fails ends it."""
    values: dict[str, tuple[float, str]] = {}
    with tempfile.TemporaryDirectory(prefix="meritgrid-clean-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the database of the tests runs as another account, and reads files of the clone
        caches = {tool: str(folder / "caches" / tool) for tool in ("uv", "npm", "pip")}
        environment = os.environ | {
            "UV_CACHE_DIR": caches["uv"],
            "npm_config_cache": caches["npm"],
            "PIP_CACHE_DIR": caches["pip"],
        }
        for clone in ("clean", "again"):
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / clone)], check=True)
        for figure, (clone, command) in STEPS.items():
            started = time.monotonic()
            subprocess.run(command, cwd=folder / clone, env=environment, check=True)
            values[figure] = (round(time.monotonic() - started, 1), "s")
            print(f"{figure}: {values[figure][0]} s", flush=True)  # noqa: T201 - the command's answer
    write("clean_clone.json", 1, "python -m scripts.bench.clean_clone: clean clone, empty caches, one run", values)


if __name__ == "__main__":
    main()
