"""The supervisor starts, watches, restarts and stops processes, and leaves none behind, whatever ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.demo.supervisor import ProcessFailed, ProcessSpec, Supervisor, file_probe

pytestmark = [pytest.mark.alone, pytest.mark.processes]

SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return status != "Z"


def _ends(pid: int, within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while _is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


async def test_all_processes_end_with_the_supervisors_stop(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    await supervisor.start_all([ProcessSpec(name, SLEEPER) for name in ("one", "two")])
    pids = supervisor.pids()
    assert all(map(_is_alive, pids.values()))
    await supervisor.stop_all()
    assert all(map(_ends, pids.values()))
    assert not supervisor.failed.done(), "a stop that was asked for is no failure"


async def test_a_process_that_ignores_the_stop_is_killed(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('deaf', 'w'); time.sleep(600)"
    supervisor = Supervisor(tmp_path)
    spec = ProcessSpec(
        "deaf", ("sh", "-c", f'cd {tmp_path} && exec "$0" -c "$1"', sys.executable, deaf),
        ready=file_probe(tmp_path / "deaf"), stop_within_s=0.2,
    )  # fmt: skip
    await supervisor.start(spec)
    pid = supervisor.pids()["deaf"]
    await supervisor.stop_all()
    assert _ends(pid)


async def test_a_process_that_ends_by_itself_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    await supervisor.start(ProcessSpec("short", (sys.executable, "-c", "print('the reason'); raise SystemExit(3)")))
    told = await asyncio.wait_for(supervisor.failed, 20)
    assert "short ended with code 3" in told
    assert "the reason" in told


async def test_a_process_that_may_end_by_itself_is_waited_for_and_is_no_failure(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    await supervisor.start(ProcessSpec("short", (sys.executable, "-c", "raise SystemExit(3)"), may_end=True))
    await asyncio.sleep(0.5)  # it may be gone before anybody waits for it
    await asyncio.wait_for(supervisor.until_ended("short"), 20)
    assert not supervisor.failed.done()
    assert supervisor.pids() == {}


async def test_a_process_that_is_not_ready_in_time_is_told(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    spec = ProcessSpec("slow", SLEEPER, ready=file_probe(tmp_path / "never"), ready_within_s=0.3)
    with pytest.raises(ProcessFailed, match=r"slow was not ready within 0\.3 s"):
        await supervisor.start(spec)
    pid = supervisor.pids()["slow"]
    await supervisor.stop_all()
    assert _ends(pid)


async def test_a_restart_is_another_process_of_the_same_command(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    await supervisor.start(ProcessSpec("one", SLEEPER))
    first = supervisor.pids()["one"]
    await supervisor.restart("one")
    second = supervisor.pids()["one"]
    assert first != second
    assert _ends(first)
    await supervisor.stop_all()
    assert _ends(second)
    assert not supervisor.failed.done()


async def test_a_start_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    spec = ProcessSpec("slow", SLEEPER, ready=file_probe(tmp_path / "never"))
    for pause_s in (0.0, 0.001, 0.01, 0.1):
        starting = asyncio.create_task(supervisor.start(spec))
        await asyncio.sleep(pause_s)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await supervisor.stop_all()
        assert supervisor.pids() == {}


def test_a_supervisor_that_is_killed_takes_its_processes_with_it(tmp_path: Path) -> None:
    sleeper = f"import time; open({str(tmp_path / 'up')!r}, 'w'); time.sleep(600)"
    command = (sys.executable, "-c", sleeper)
    program = f"""
import asyncio, sys
from pathlib import Path
from scripts.demo.supervisor import ProcessSpec, Supervisor, file_probe

async def main():
    supervisor = Supervisor(Path({str(tmp_path)!r}))
    up = file_probe(Path({str(tmp_path / "up")!r}))
    await supervisor.start(ProcessSpec("one", {command!r}, ready=up))
    print(supervisor.pids()["one"], flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        line = ""
        while not line.strip().isdecimal():
            line = parent.stdout.readline()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert _ends(int(line))
