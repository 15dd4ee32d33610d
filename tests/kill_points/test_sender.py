"""A process killed between any two steps of its transaction sender: after the next start each purpose is done once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from sqlalchemy import select

from market.chain.deployment import write_deployment
from market.chain.embedded import EmbeddedChain
from market.chain.profiles import rpc
from market.checkpoints import SenderPoint
from market.store.database import read_scope
from market.store.models import Transaction, TransactionState
from tests.chain.world import KEYS, World
from tests.kill_points.killing import Kill, Program
from tests.kill_points.sending import HOLDER

BATCH = {"one": 1, "two": 20, "three": 300}
IMPATIENT = {"resend_after_s": 0.1, "replace_after_s": 0.3}


@dataclass
class Bench:
    """A deployed market, whose operator's transactions a program of its own sends."""

    world: World
    folder: Path
    runs: list[Program] = field(default_factory=list)

    def program(self, **work: Any) -> Program:
        world = self.world
        write_deployment(self.folder / "deployment.json", world.contracts.deployment)
        database = world.engine.url.render_as_string(hide_password=False)
        given = json.dumps(work)
        where = (world.chain.rpc_url, str(self.folder / "deployment.json"), database, KEYS["operator"].hex(), given)
        self.runs.append(Program(self.folder, ("tests.kill_points.sending", *where), name=f"sending-{len(self.runs)}"))
        return self.runs[-1]

    def killed(self, kill: Kill, **work: Any) -> None:
        program = self.program(**work)
        program.start(kill)
        program.died_at(kill)

    def started_again(self, **work: Any) -> None:
        program = self.program(**work)
        program.start()
        program.ended_well()

    def rpc(self, method: str, *parameters: Any) -> Any:
        return rpc(self.world.contracts.web3, method, *parameters)

    def minted(self) -> list[int]:
        """Amounts of every mint on the chain, smallest first."""
        token = self.world.contracts.token
        events = token.events.Minted().get_logs(from_block=0)
        return sorted(int(event["args"]["amountUeur"]) for event in events)

    def rows(self) -> list[Transaction]:
        with read_scope(self.world.engine) as session:
            return list(session.scalars(select(Transaction).order_by(Transaction.nonce)))


@pytest.fixture
def bench(anvil: EmbeddedChain, tmp_path: Path) -> Iterator[Bench]:
    with bench_over(anvil, f"sqlite:///{tmp_path / 'market.sqlite'}", tmp_path) as found:
        yield found


@pytest.fixture
def either_bench(anvil: EmbeddedChain, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    """Over each kind of database."""
    with bench_over(anvil, database_url, tmp_path) as found:
        yield found


@contextmanager
def bench_over(anvil: EmbeddedChain, database_url: str, folder: Path) -> Iterator[Bench]:
    world = World.build(anvil, database_url)
    found = Bench(world, folder)
    yield found
    for program in found.runs:
        program.stop()
    world.engine.dispose()


IN_A_BATCH = [
    Kill(point, nth)
    for point in (SenderPoint.STORED, SenderPoint.SENT, SenderPoint.NOTED, SenderPoint.MINED, SenderPoint.ENDED)
    for nth in (1, 2)
]


@pytest.mark.parametrize("kill", IN_A_BATCH, ids=str)
def test_a_batch_is_sent_whole_and_once(bench: Bench, kill: Kill) -> None:
    bench.killed(kill, mints=BATCH)
    bench.started_again(mints=BATCH)
    bench.started_again(mints=BATCH)
    assert bench.minted() == sorted(BATCH.values())
    rows = bench.rows()
    assert [row.state for row in rows] == [TransactionState.MINED] * 3
    assert [row.nonce for row in rows] == list(range(rows[0].nonce, rows[0].nonce + 3))


AFTERWARDS: dict[str, dict[str, Any]] = {
    "a start alone": {"mints": {}},
    "the same purpose": {"mints": {"one": 1}, "recovers": False},
    "another process": {"mints": {}, "takes_over": True},
    "the next transaction": {"mints": {"two": 0}, "recovers": False},
}


@pytest.mark.parametrize("afterwards", AFTERWARDS)
@pytest.mark.parametrize("kill", [Kill(SenderPoint.STORED), Kill(SenderPoint.MINED)], ids=str)
def test_whatever_comes_next_finishes_what_was_stored(either_bench: Bench, kill: Kill, afterwards: str) -> None:
    either_bench.killed(kill, mints={"one": 1})
    either_bench.started_again(**AFTERWARDS[afterwards])
    assert [amount for amount in either_bench.minted() if amount] == [1]
    either_bench.started_again(mints={})
    assert {row.state for row in either_bench.rows()} == {TransactionState.MINED}


def is_stuck(bench: Bench) -> dict[str, Any]:
    """No block is made: the sender replaces its transaction."""
    bench.rpc("evm_setAutomine", False)
    return {"mints": {"one": 1}, "profile": IMPATIENT}


def is_used_elsewhere(bench: Bench) -> dict[str, Any]:
    """Somebody else uses the key's next nonce, which the sender gives too."""
    bench.started_again(mints={"before": 0})
    foreign = {
        "to": HOLDER, "value": 0, "gas": 21_000, "maxFeePerGas": 10, "maxPriorityFeePerGas": 0, "type": 2,
        "chainId": 31337, "nonce": bench.rows()[-1].nonce + 1,
    }  # fmt: skip
    signed = Account.sign_transaction(foreign, KEYS["operator"])
    bench.rpc("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex())
    return {"mints": {"one": 1}}


def is_refused_for_good(_: Bench) -> dict[str, Any]:
    return {"mints": {"one": 1}, "gas_limit": 10**9}


def is_lost(bench: Bench) -> dict[str, Any]:
    """The block with the transaction is gone."""
    before = bench.rpc("evm_snapshot")
    bench.started_again(mints={"one": 1})
    assert bench.minted() == [1]
    bench.rpc("evm_revert", before)
    assert bench.minted() == []
    return {"mints": {"one": 1}}


def blocks_are_made_again(bench: Bench) -> None:
    bench.rpc("evm_setAutomine", True)


def the_first_bytes_are_mined(bench: Bench) -> None:
    """Those that the replacement was to replace, while nobody runs."""
    bench.rpc("evm_mine")
    bench.rpc("evm_setAutomine", True)


def nothing(_: Bench) -> None:
    """The world stands still while nobody runs."""


@dataclass(frozen=True)
class Trouble:
    """What has a transaction signed anew, what happens while nobody runs, what is done then, and what is minted."""

    kill: Kill
    begins: Callable[[Bench], dict[str, Any]]
    meanwhile: Callable[[Bench], None]
    minted: list[int]
    asked_again: bool = True


TROUBLES = [
    Trouble(Kill(SenderPoint.REPLACED), is_stuck, blocks_are_made_again, [1]),
    Trouble(Kill(SenderPoint.REPLACED), is_stuck, the_first_bytes_are_mined, [1]),
    Trouble(Kill(SenderPoint.REPLACED, 2), is_stuck, the_first_bytes_are_mined, [1]),
    Trouble(Kill(SenderPoint.RENUMBERED), is_used_elsewhere, nothing, [0, 1]),
    Trouble(Kill(SenderPoint.EMPTIED), is_refused_for_good, nothing, [], asked_again=False),
    Trouble(Kill(SenderPoint.REOPENED), is_lost, nothing, [1]),
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda each: f"{each.kill}-{each.meanwhile.__name__}")
def test_what_is_signed_anew_replaces_and_does_not_double(bench: Bench, trouble: Trouble) -> None:
    work = trouble.begins(bench)
    bench.killed(trouble.kill, **work)
    trouble.meanwhile(bench)
    bench.started_again(**(work if trouble.asked_again else {"mints": {}}))
    assert bench.minted() == trouble.minted
    bench.started_again(mints={"next": 7})
    assert bench.minted() == sorted([*trouble.minted, 7]), "what comes after it is not held up"
    states = {row.purpose_key: row.state for row in bench.rows() if "#failed" not in row.purpose_key}
    assert set(states.values()) == {TransactionState.MINED}


def test_every_point_of_the_sender_has_its_case() -> None:
    assert {kill.point for kill in IN_A_BATCH} | {each.kill.point for each in TROUBLES} == set(SenderPoint)
