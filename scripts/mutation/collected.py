"""A pytest that collects once and then runs what it is asked for, each time in a child process of its own.

    python -m scripts.mutation.collected tests/attacks …

Each line of the input is a request, a JSON object: `files` of which to run, `first` the tests to begin with, `examples`
for each Hypothesis test at most, `timeout_s`. Each line of the output answers one: `failed`, the test that failed first
or "", `reason`, and `passed`, how many passed before. Importing and collecting cost seconds, a fork nothing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TextIO

import pytest
from hypothesis import Phase, settings

from scripts.mutation.killers import in_order, reason_of


class Server:
    """The plugin that answers instead of running the collected tests."""

    def __init__(self, answers: TextIO) -> None:
        self.answers = answers
        self.answer: dict[str, Any] = {"failed": "", "reason": "", "passed": 0}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Answers one request after the other until the input ends."""
        self._say({"collected": len(session.items), "errors": session.testsfailed})
        for line in sys.stdin:
            self._say(self._in_child(session, json.loads(line)))
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """In the child: counts, and keeps the first failure."""
        self.answer["passed"] += report.when == "call" and report.passed
        if report.failed and not self.answer["failed"]:
            self.answer |= {"failed": report.nodeid, "reason": reason_of(report)}

    def _say(self, answer: dict[str, Any]) -> None:
        self.answers.write(json.dumps(answer) + "\n")
        self.answers.flush()

    def _in_child(self, session: pytest.Session, request: dict[str, Any]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="meritgrid-mutation-") as folder:
            path = Path(folder) / "answer.json"
            if (child := os.fork()) == 0:
                os.setsid()
                status = 1
                try:
                    self._run(session, request)
                    path.write_text(json.dumps(self.answer), encoding="utf-8")
                    status = 0
                finally:
                    os._exit(status)
            if not _ended(child, request["timeout_s"]):
                return {"failed": "timeout", "reason": f"more than {request['timeout_s']} s", "passed": 0}
            if not path.exists():
                return {"failed": "", "reason": "the tests' process ended without an answer", "passed": 0}
            answer: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return answer

    def _run(self, session: pytest.Session, request: dict[str, Any]) -> None:
        wanted = [item for item in session.items if item.nodeid.partition("::")[0] in request["files"]]
        wanted.sort(key=lambda item: request["files"].index(item.nodeid.partition("::")[0]))
        items = in_order(wanted, request["first"])
        if request["examples"]:
            for item in items:
                _with_few_examples(item, request["examples"])
        try:
            for item, following in zip(items, [*items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self.answer["failed"]:
                    break
        finally:
            session._setupstate.teardown_exact(None)


def _ended(child: int, timeout_s: float) -> bool:
    """Waits for a child, and kills it and its tests' processes when it takes too long."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _with_few_examples(item: Any, examples: int) -> None:
    """Fewer, the same each time, and without looking for the smallest one that fails."""
    test = item.obj
    given = getattr(test, "_hypothesis_internal_use_settings", None)
    if given is not None:
        test._hypothesis_internal_use_settings = settings(
            given,
            max_examples=min(examples, given.max_examples),
            phases=(Phase.explicit, Phase.generate),
            database=None,
            derandomize=True,
            report_multiple_bugs=False,
        )


def main(files: list[str]) -> int:
    """Collects the files and answers requests. Returns pytest's exit code."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what pytest and the tests print
    return int(pytest.main(["-q", "-s", "-p", "no:cacheprovider", *files], plugins=[Server(answers)]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
