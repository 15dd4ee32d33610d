"""An indexer killed between any two steps: after the next start the projections are what an undisturbed one makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from market.chain.bindings import encode_call
from market.chain.deployment import write_deployment
from market.chain.embedded import EmbeddedChain
from market.chain.profiles import rpc
from market.checkpoints import IndexerPoint
from market.store.database import open_engine, read_scope
from market.store.models import ChainEvent, IndexerCursor, projection_tables
from tests.chain.world import NODE, World
from tests.kill_points.killing import Kill, Program

RANGE_BLOCKS = 5
"""Blocks in a range here, so that there are several."""


@pytest.fixture(scope="module")
def world(module_anvil: EmbeddedChain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A registered and funded market: some forty blocks with events."""
    folder = tmp_path_factory.mktemp("world")
    world = World.build(module_anvil, f"sqlite:///{folder / 'market.sqlite'}")
    world.register()
    world.fund()
    world.indexer.index_now()
    write_deployment(folder / "deployment.json", world.contracts.deployment)
    yield world
    world.engine.dispose()


@dataclass
class Index:
    """A database of its own, and the program that fills it from the chain."""

    world: World
    folder: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder / 'index.sqlite'}"

    def program(self, work: str) -> Program:
        write_deployment(self.folder / "deployment.json", self.world.contracts.deployment)
        arguments = (self.world.chain.rpc_url, str(self.folder / "deployment.json"), self.url, work)
        constants = {"market.chain.indexer.indexer:RANGE_BLOCKS": RANGE_BLOCKS}
        return Program(self.folder, ("tests.kill_points.indexing", *arguments), constants=constants, name=work)

    def run(self, work: str = "index") -> None:
        program = self.program(work)
        program.start()
        program.ended_well()

    def killed(self, kill: Kill, work: str) -> None:
        program = self.program(work)
        program.start(kill)
        program.died_at(kill)

    @contextmanager
    def opened(self) -> Iterator[Engine]:
        engine = open_engine(self.url)
        yield engine
        engine.dispose()

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        with self.opened() as engine:
            return projected(engine)

    def is_consistent(self) -> bool:
        """Whether the cursor and the events are of the same moment: none is beyond it."""
        with self.opened() as engine, read_scope(engine) as session:
            cursor = session.scalar(select(IndexerCursor.block))
            last = session.scalar(select(ChainEvent.block).order_by(ChainEvent.block.desc()).limit(1))
        return last is None if cursor is None else last is None or last <= cursor


def projected(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """All projected rows but where the indexer stands, which depends on how its ranges were cut."""
    with engine.connect() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
            for table in projection_tables()
            if table.name not in ("indexed_blocks", "indexer_cursor")
        }


@pytest.fixture
def index(world: World, tmp_path: Path) -> Iterator[Index]:
    """An empty one; what a test does to the chain is undone."""
    before = rpc(world.contracts.web3, "evm_snapshot")
    yield Index(world, tmp_path)
    rpc(world.contracts.web3, "evm_revert", before)


FIRST = [Kill(point, nth) for point in (IndexerPoint.PROJECTED, IndexerPoint.TAKEN_IN) for nth in (1, 3)]
REBUILT = [Kill(IndexerPoint.DROPPED), *FIRST]


@pytest.mark.parametrize("kill", FIRST, ids=str)
def test_an_index_that_was_begun_is_finished(index: Index, kill: Kill) -> None:
    index.killed(kill, "index")
    assert index.is_consistent()
    assert index.rows() != projected(index.world.engine), "it is not finished"
    index.run()
    assert index.rows() == projected(index.world.engine)


@pytest.mark.parametrize("next_work", ["index", "reindex"])
@pytest.mark.parametrize("kill", REBUILT, ids=str)
def test_a_rebuild_that_was_begun_is_finished(index: Index, kill: Kill, next_work: str) -> None:
    """By the next start of a process, or by whoever says `meritgrid market reindex` again."""
    index.run()
    index.killed(kill, "reindex")
    assert index.is_consistent()
    assert index.rows() != projected(index.world.engine), "it is not finished"
    index.run(next_work)
    assert index.rows() == projected(index.world.engine)


def pause(world: World, product: int, paused: bool) -> None:
    """By the node's own account: the product's sender would have what a fork has lost mined again. Returns when it is
    mined: the gas of one that follows is estimated without those that still wait."""
    function = world.contracts.registry.functions.setPaused(NODE, product, paused)
    data = "0x" + encode_call(function).hex()
    sent = {"from": world.address("operator"), "to": function.address, "data": data, "gasPrice": hex(10**9)}
    transaction = rpc(world.contracts.web3, "eth_sendTransaction", sent)
    receipt = world.contracts.web3.eth.wait_for_transaction_receipt(transaction, timeout=30, poll_latency=0.01)
    assert receipt["status"] == 1


def only_the_last_blocks_change(index: Index) -> None:
    """The chain goes another way from its present head on; the index has taken in what is lost."""
    web3 = index.world.contracts.web3
    index.run()
    forked = rpc(web3, "evm_snapshot")
    pause(index.world, 1, True)
    index.run()
    rpc(web3, "evm_revert", forked)
    pause(index.world, 2, True)
    pause(index.world, 2, False)


def every_kept_block_changes(index: Index) -> None:
    """The index has seen one range only, whose end is lost."""
    web3 = index.world.contracts.web3
    forked = rpc(web3, "evm_snapshot")
    pause(index.world, 1, True)
    program = index.program("index")
    program.constants = {}
    program.start()
    program.ended_well()
    rpc(web3, "evm_revert", forked)
    pause(index.world, 2, True)
    pause(index.world, 2, False)


FORKED: list[tuple[Kill, Callable[[Index], None]]] = [
    (Kill(IndexerPoint.REWINDING), only_the_last_blocks_change),
    (Kill(IndexerPoint.REWOUND), only_the_last_blocks_change),
    (Kill(IndexerPoint.PROJECTED), only_the_last_blocks_change),
    (Kill(IndexerPoint.DROPPED), every_kept_block_changes),
    (Kill(IndexerPoint.TAKEN_IN), every_kept_block_changes),
]


@pytest.mark.parametrize(("kill", "fork"), FORKED, ids=lambda each: getattr(each, "__name__", str(each)))
def test_a_fork_that_was_being_left_is_left(
    index: Index, tmp_path_factory: pytest.TempPathFactory, kill: Kill, fork: Callable[[Index], None]
) -> None:
    fork(index)
    index.killed(kill, "index")
    assert index.is_consistent()
    index.run()
    undisturbed = Index(index.world, tmp_path_factory.mktemp("undisturbed"))
    undisturbed.run()
    assert index.rows() == undisturbed.rows()
    paused = [row for row in index.rows()["chain_events"] if "PauseChanged" in row]
    assert len(paused) == 2, "what the chain has now, and nothing of what it had before"


def test_every_point_of_the_indexer_has_its_case() -> None:
    assert {kill.point for kill in (*REBUILT, *FIRST)} | {kill.point for kill, _ in FORKED} == set(IndexerPoint)
