"""Commands that end with the process that started them, so that a parent that is killed leaves nobody behind."""

from __future__ import annotations

import shutil
from collections.abc import Sequence


def ending_with_parent(command: Sequence[str]) -> list[str]:
    """The command, ended by SIGTERM when its parent dies. Linux' `setpriv` (util-linux) does it; elsewhere the command
    is as it was.

    The kernel counts the thread that starts the command as its parent.
    """
    setpriv = shutil.which("setpriv")
    return [*([setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []), *command]
