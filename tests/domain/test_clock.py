"""Simulated time: it moves only when everybody sleeps, waits for who is down, and is the same for all."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from market.clock import ClockRefused, LatestTime, SimulatedClock, SystemClock, clock_from
from market.clock_authority import ClockAuthority
from tests.clock import SettableClock

TOKEN = "shared secret of the test"
PARTICIPANT = Path(__file__).with_name("clock_participant.py")
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(60)


@pytest_asyncio.fixture
async def authority() -> AsyncIterator[ClockAuthority]:
    authority = ClockAuthority(0, TOKEN)
    await authority.start()
    yield authority
    await authority.stop()


class Process:
    """A participant as a process of its own, ended by the test that started it."""

    def __init__(self, authority: ClockAuthority, folder: Path) -> None:
        self.authority = authority
        self.folder = folder
        self.running: list[asyncio.subprocess.Process] = []

    async def start(self, name: str, step_s: int, end_s: int, *mode: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(PARTICIPANT), str(self.authority.port), name, str(step_s), str(end_s),
            str(self.folder / name), *mode,
            cwd=ROOT, env=os.environ | {"CLOCK_TOKEN": TOKEN, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self.running.append(process)
        return process

    def noted(self, name: str) -> list[int]:
        log = self.folder / name
        return [int(line) for line in log.read_text().split()] if log.exists() else []


@pytest_asyncio.fixture
async def processes(authority: ClockAuthority, tmp_path: Path) -> AsyncIterator[Process]:
    processes = Process(authority, tmp_path)
    yield processes
    for process in processes.running:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.alone
@pytest.mark.processes
async def test_several_processes_are_woken_each_at_its_own_moments(
    authority: ClockAuthority, processes: Process
) -> None:
    advances: list[float] = []

    async def on_advance(at_s: float) -> None:
        advances.append(at_s)

    authority.on_advance = on_advance
    authority.expect(["a", "b", "c"])
    started = [await processes.start("a", 10, 60), await processes.start("b", 15, 60, "async")]
    await asyncio.sleep(0.3)
    assert authority.now == 0
    assert "c" in authority.waiting_for
    started.append(await processes.start("c", 20, 60, "async"))
    assert [await process.wait() for process in started] == [0, 0, 0]
    assert processes.noted("a") == [10, 20, 30, 40, 50, 60]
    assert processes.noted("b") == [15, 30, 45, 60]
    assert processes.noted("c") == [20, 40, 60]
    assert advances == [10, 15, 20, 30, 40, 45, 50, 60]


@pytest.mark.alone
@pytest.mark.processes
async def test_time_stands_still_while_a_killed_process_is_down_and_it_misses_nothing(
    authority: ClockAuthority, processes: Process
) -> None:
    authority.expect(["steady", "killed"])
    authority.stop_at(1000)
    steady = await processes.start("steady", 10, 2000)
    killed = await processes.start("killed", 10, 2000, "async")
    await authority.reached(1000)
    killed.send_signal(signal.SIGKILL)
    await killed.wait()
    authority.stop_at(2000)
    await until(lambda: authority.waiting_for == ["killed"])
    await asyncio.sleep(0.3)
    assert authority.now == 1000
    again = await processes.start("killed", 10, 2000, "async")
    assert [await steady.wait(), await again.wait()] == [0, 0]
    assert processes.noted("killed") == list(range(10, 2001, 10)) == processes.noted("steady")


@pytest.mark.alone
@pytest.mark.processes
async def test_time_goes_on_without_who_is_declared_away_and_counts_it_when_it_is_back(
    authority: ClockAuthority, processes: Process
) -> None:
    authority.expect(["steady", "absent"])
    authority.stop_at(500)
    steady = await processes.start("steady", 10, 2000)
    absent = await processes.start("absent", 10, 2000)
    await authority.reached(500)
    authority.away("absent")
    absent.kill()
    await absent.wait()
    authority.stop_at(1500)
    await authority.reached(1500)
    back = await processes.start("absent", 10, 2000)
    await until(lambda: "absent" not in authority.waiting_for and not authority._participants["absent"].is_away)
    authority.stop_at(2000)
    assert [await steady.wait(), await back.wait()] == [0, 0]
    assert processes.noted("absent") == [*range(10, 501, 10), *range(1510, 2001, 10)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - a process is observed from outside
            await asyncio.sleep(0.01)


async def client(authority: ClockAuthority, name: str) -> SimulatedClock:
    return await asyncio.to_thread(SimulatedClock, "127.0.0.1", authority.port, name, TOKEN)


async def test_everybody_knows_the_time_before_anybody_is_woken(authority: ClockAuthority) -> None:
    authority.expect(["a", "b"])
    a, b = await client(authority, "a"), await client(authority, "b")
    seen: list[bool] = []

    async def wake_often(clock: SimulatedClock, other: SimulatedClock, step_s: int) -> None:
        for at_s in range(step_s, 595, step_s):
            await clock.sleep_until(at_s)
            seen.append(clock.now() == other.now() == at_s)
        clock.leave()

    await asyncio.gather(wake_often(a, b, 2), wake_often(b, a, 3))
    assert len(seen) == 297 + 198
    assert all(seen)


async def test_a_broken_connection_is_taken_up_again_where_it_was(authority: ClockAuthority) -> None:
    authority.expect(["a", "b"])
    a, b = await client(authority, "a"), await client(authority, "b")
    sleeper = asyncio.create_task(a.sleep_until(50))
    await until(lambda: authority.waiting_for == ["b"])
    for _ in range(3):
        writer = authority._participants["a"].writer
        assert writer is not None
        writer.close()
        await until(lambda lost=writer: authority._participants["a"].writer not in (None, lost))
    other = asyncio.create_task(b.sleep_until(100))
    await asyncio.wait_for(sleeper, 5)
    assert (a.now(), b.now(), other.done()) == (50, 50, False)
    a.leave()
    await asyncio.wait_for(other, 5)
    b.close()


async def test_a_wake_up_that_was_lost_with_the_connection_comes_again(authority: ClockAuthority) -> None:
    authority.expect(["a"])
    reader, writer = await asyncio.open_connection("127.0.0.1", authority.port)
    writer.write(json.dumps({"name": "a", "token": TOKEN, "until": 10}).encode() + b"\n")
    assert json.loads(await reader.readline()) == {"now": 0}
    assert json.loads(await reader.readline()) == {"now": 10}
    writer.close()
    await until(lambda: authority._participants["a"].writer is None)
    reader, writer = await asyncio.open_connection("127.0.0.1", authority.port)
    writer.write(json.dumps({"name": "a", "token": TOKEN, "until": 10}).encode() + b"\n" + b'{"at": 10}\n')
    assert json.loads(await reader.readline()) == {"now": 10}
    assert json.loads(await reader.readline()) == {"wake": 10}
    writer.close()


async def test_a_pause_holds_the_time_and_a_pace_slows_it(authority: ClockAuthority) -> None:
    authority.expect(["a"])
    clock = await client(authority, "a")
    await clock.sleep_until(1)
    authority.pause()
    sleeper = asyncio.create_task(clock.sleep_until(101))
    await asyncio.sleep(0.2)
    assert (authority.now, sleeper.done()) == (1, False)
    authority.speed = 250.0
    authority.resume()
    started = time.monotonic()
    await sleeper
    await clock.sleep_until(201)
    assert 0.35 <= time.monotonic() - started < 3
    clock.close()


async def test_a_cancelled_sleep_makes_the_process_busy_again(authority: ClockAuthority) -> None:
    authority.expect(["a", "b"])
    a, b = await client(authority, "a"), await client(authority, "b")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(a.sleep_until(50), 0.1)
    sleeper = asyncio.create_task(b.sleep_until(20))
    await asyncio.sleep(0.1)
    assert authority.now == 0
    await a.sleep_until(10)
    assert (a.now(), sleeper.done()) == (10, False)
    a.leave()
    await sleeper
    b.close()


async def test_moments_that_are_over_return_at_once_and_followers_hold_nothing(authority: ClockAuthority) -> None:
    authority.expect(["a"])
    clock = await client(authority, "a")
    follower = asyncio.create_task(clock.follow_until(30))
    await clock.sleep_until(0)
    await clock.sleep_until(40)
    await asyncio.wait_for(follower, 5)
    await clock.sleep_until(40)
    assert clock.now() == 40
    clock.close()


async def test_two_main_sleepers_in_one_process_are_an_error(authority: ClockAuthority) -> None:
    authority.expect(["a", "b"])
    a = await client(authority, "a")
    sleeper = asyncio.create_task(a.sleep_until(10))
    await asyncio.sleep(0.05)
    with pytest.raises(RuntimeError, match="sleeps already"):
        await a.sleep_until(20)
    sleeper.cancel()
    a.close()


async def test_threads_wait_as_coroutines_do(authority: ClockAuthority) -> None:
    authority.expect(["a"])
    clock = await client(authority, "a")
    woken: list[float] = []

    def work() -> None:
        for at_s in (5, 10, 15):
            clock.wait_until(at_s)
            woken.append(clock.now())

    thread = threading.Thread(target=work)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert woken == [5, 10, 15]
    clock.close()


@pytest.mark.parametrize(("name", "token"), [("stranger", TOKEN), ("a", "another token")])
async def test_who_is_not_expected_or_has_another_token_is_refused(
    authority: ClockAuthority, name: str, token: str
) -> None:
    authority.expect(["a"])
    clock = await asyncio.to_thread(SimulatedClock, "127.0.0.1", authority.port, name, token)
    with pytest.raises(ClockRefused):
        await asyncio.to_thread(clock.now)
    clock.close()


@pytest.mark.parametrize("line", [b"no json\n", b"[]\n", b"{}\n", b"x" * 5000 + b"\n", b'{"until": 1e999}\n'])
async def test_a_malformed_message_ends_its_connection_only(authority: ClockAuthority, line: bytes) -> None:
    authority.expect(["a", "b"])
    steady = await client(authority, "b")
    reader, writer = await asyncio.open_connection("127.0.0.1", authority.port)
    writer.write(json.dumps({"name": "a", "token": TOKEN, "until": None}).encode() + b"\n" + line)
    answers = await asyncio.wait_for(reader.read(), 5)
    assert b"error" in answers
    writer.close()
    authority.away("a")
    await asyncio.wait_for(steady.sleep_until(10), 5)
    steady.close()


async def test_a_failing_hook_stops_the_time_and_is_raised_to_the_observer(authority: ClockAuthority) -> None:
    async def on_advance(at_s: float) -> None:
        raise OSError(f"no chain at {at_s}")

    authority.on_advance = on_advance
    authority.expect(["a"])
    clock = await client(authority, "a")
    sleeper = asyncio.create_task(clock.sleep_until(10))
    with pytest.raises(OSError, match="no chain at 10"):
        await authority.reached(10)
    assert authority.now == 0
    sleeper.cancel()
    clock.close()


async def test_a_closed_clock_ends_its_sleepers(authority: ClockAuthority) -> None:
    authority.expect(["a", "b"])
    clock = await client(authority, "a")
    sleeper = asyncio.create_task(clock.sleep_until(10))
    await asyncio.sleep(0.05)
    await asyncio.to_thread(clock.close)
    with pytest.raises(ClockRefused, match="closed"):
        await sleeper


def test_without_an_authority_the_time_is_not_invented() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    clock = SimulatedClock("127.0.0.1", port, "a", TOKEN, connect_timeout_s=0.2)
    with pytest.raises(ClockRefused, match="no clock authority"):
        clock.now()
    clock.close()


async def test_the_systems_clock_waits_for_real() -> None:
    clock = clock_from("system")
    assert isinstance(clock, SystemClock)
    at_s = clock.now() + 0.05
    await clock.sleep_until(at_s)
    assert clock.now() >= at_s
    clock.wait_until(at_s)


@pytest.mark.parametrize("setting", ["", "sundial", "simulated:", "simulated:host", "simulated:host:x"])
def test_a_setting_that_names_no_clock_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="clock"):
        clock_from(setting)


async def test_who_sleeps_by_the_systems_clock_does_not_sleep_on_when_that_is_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An agent whose clock had been an hour ahead slept for an hour after it was right again."""
    clock, right = SystemClock(), time.time
    asleep = asyncio.create_task(clock.sleep_until(right() + 60))
    await asyncio.sleep(0.1)
    monkeypatch.setattr(time, "time", lambda: right() - 3600)
    before = clock.steady()
    await asyncio.wait_for(asleep, 10)
    assert clock.steady() - before < 5
    monkeypatch.undo()
    asleep = asyncio.create_task(clock.sleep_until(right() + 60))
    await asyncio.sleep(0.1)
    monkeypatch.setattr(time, "time", lambda: right() + 3600)
    await asyncio.wait_for(asleep, 10)


def test_the_latest_time_goes_on_where_the_clock_is_set_back() -> None:
    clock = SettableClock(1_000.0)
    latest = LatestTime(clock)
    clock.passed_s = 10
    assert latest.now() == 1_010
    clock.set_by(-500)
    assert latest.now() == 1_010
    clock.passed_s = 70
    assert latest.now() == 1_070
    clock.set_by(800)
    assert latest.now() == clock.now() == 1_370
