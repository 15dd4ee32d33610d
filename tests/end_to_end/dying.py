"""Runs `meritgrid`, and kills it at a checkpoint of its transaction sender: dying.py CHECKPOINT COMMAND …

Checkpoints are those of market.chain.sender: stored (committed, not sent yet), sent (no receipt yet), mined (the
receipt is not taken in yet).
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from typing import Any

from market.chain.sender import TransactionSender

wanted = sys.argv.pop(1)
original = TransactionSender.__init__


def die_at(name: str) -> None:
    if name == wanted:
        os.kill(os.getpid(), signal.SIGKILL)


def dying(self: TransactionSender, *arguments: Any, **named: Any) -> None:
    original(self, *arguments, **named, checkpoint=die_at)


TransactionSender.__init__ = dying  # type: ignore[method-assign]
runpy.run_module("market.cli", run_name="__main__", alter_sys=True)
