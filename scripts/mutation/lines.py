"""A process that answers each line of its input with a line of its output, both JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.mutation.errors import BaselineFails


class LineProcess:
    """It ends with its input."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self._name = " ".join(command[:3])
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if self._process.stdin is None or self._process.stdout is None:
            raise BaselineFails(f"{self._name}: no pipes")
        self._input, self._output = self._process.stdin, self._process.stdout

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Sends one request and waits for its answer."""
        self._input.write(json.dumps(request).encode() + b"\n")
        self._input.flush()
        return self.read()

    def read(self) -> dict[str, Any]:
        """The next answer.

        Raises:
            BaselineFails: the process has ended.
        """
        line = self._output.readline()
        if not line:
            raise BaselineFails(f"{self._name} ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Ends it."""
        self._input.close()
        self._process.wait()
