"""Small disks that can be filled: a tmpfs over a folder."""

from __future__ import annotations

import errno
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BALLAST: Final = ".ballast"
_PIECE: Final = b"\0" * 65_536


class NoSmallDisk(Exception):
    """This machine lets nobody mount; the text says what it said."""


@dataclass(frozen=True)
class SmallDisk:
    """A folder with so many megabytes and no more."""

    folder: Path
    megabytes: int

    def mount(self, user: str = "root") -> None:
        """Lay an empty disk over the folder, owned by an account.

        Raises:
            NoSmallDisk: mounting is not allowed here.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        options = f"size={self.megabytes}m,mode=0755"
        command = ["mount", "-t", "tmpfs", "-o", options, "meritgrid-chaos", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NoSmallDisk(done.stderr.strip() or f"mount ended with code {done.returncode}")
        subprocess.run(["chown", user, str(self.folder)], check=True)

    def unmount(self) -> None:
        """Take the disk away, with what is on it; a process that still has a file open keeps it alive until it ends."""
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def fill(self) -> None:
        """Write until nothing more fits."""
        try:
            with (self.folder / _BALLAST).open("ab", buffering=0) as ballast:
                while True:
                    ballast.write(_PIECE)
        except OSError as problem:
            if problem.errno != errno.ENOSPC:
                raise

    def relieve(self) -> None:
        """Take away what `fill` wrote."""
        (self.folder / _BALLAST).unlink(missing_ok=True)


def may_mount(folder: Path) -> str | None:
    """None where this process may mount; else why not."""
    if os.geteuid() != 0:
        return "only root may mount"
    disk = SmallDisk(folder, 1)
    try:
        disk.mount()
    except NoSmallDisk as problem:
        return str(problem)
    disk.unmount()
    return None
