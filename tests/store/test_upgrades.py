"""`meritgrid market migrate` brings a database of every earlier version to this one, with all that is in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, select, text

from market.chain.deployment import write_deployment
from market.chain.embedded import start_anvil
from market.domain.errors import MeritgridError
from market.services.access import principal_of
from market.store.database import MIGRATIONS, migrate, open_engine, session_scope
from market.store.models import ApiKey, Notice, Reading, Transaction
from oracle.broker.credentials import let_in
from scripts.demo.supervisor import free_port as taken_by_nobody
from tests.chain.world import World, nanogrid
from tests.cli.conftest import Run, call
from tests.conftest import TEST_EPOCH
from tests.store import old_market
from tests.store.old_market import Kept, Rows, require_the_same_projections

pytestmark = pytest.mark.slow

_config = Config()
_config.set_main_option("script_location", str(MIGRATIONS))
SCRIPTS = ScriptDirectory.from_config(_config)
EARLIER = [script.revision for script in SCRIPTS.walk_revisions() if not script.is_head][::-1]


@dataclass(frozen=True)
class Market:
    """A market at this version: its chain, every row of its database, what its users hold."""

    world: World
    rows: Rows
    kept: Kept


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    url = f"sqlite:///{tmp_path_factory.mktemp('market') / 'market.sqlite'}"
    with start_anvil(taken_by_nobody(), timestamp=TEST_EPOCH) as chain:
        world = World.build(chain, url)
        kept = old_market.fill(world)
        world.indexer.index_now()
        yield Market(world, old_market.rows_of(world.engine), kept)
        world.engine.dispose()


@pytest.fixture
def meritgrid(market: Market, database_url: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> Run:  # type: ignore[no-untyped-def]
    """The command line with the settings of that chain and another database."""
    monkeypatch.chdir(tmp_path)
    write_deployment(tmp_path / "deployment.json", market.world.contracts.deployment)
    monkeypatch.setenv("MERITGRID_DATABASE_URL", database_url)
    monkeypatch.setenv("MERITGRID_RPC_URL", market.world.chain.rpc_url)
    monkeypatch.setenv("MERITGRID_DEPLOYMENT_FILE", str(tmp_path / "deployment.json"))
    return call


def test_the_old_market_has_something_in_every_table(market: Market) -> None:
    empty = [name for name, rows in market.rows.items() if not rows]
    assert empty == []


def test_every_version_but_this_one_is_an_earlier_one() -> None:
    assert EARLIER[0] == "0001"
    assert len(EARLIER) == len(list(SCRIPTS.walk_revisions())) - 1


@pytest.mark.parametrize("revision", EARLIER)
def test_a_database_of_an_earlier_version_is_the_same_market_afterwards(
    market: Market, meritgrid: Run, database_url: str, revision: str
) -> None:
    migrate(database_url, revision)
    columns = old_market.copy_into(database_url, market.rows)
    engine = open_engine(database_url)
    before = old_market.rows_of(engine)
    assert meritgrid("market", "migrate").code == 0
    assert old_market.rows_of(engine, columns) == before, "what was there is there"
    # What later versions know of the chain's events, earlier ones did not write down: it is built again.
    assert meritgrid("market", "reindex").code == 0
    require_the_same_projections(engine, market.rows)
    _require_the_same_access(market, engine)
    _require_that_it_goes_on(market, engine)
    engine.dispose()


def _require_the_same_access(market: Market, engine: Engine) -> None:
    now_s = market.world.now()
    with session_scope(engine) as session:
        assert principal_of(session, old_market.API_KEY, now_s).address == market.world.address("dso")
        assert principal_of(session, old_market.SESSION, now_s).address == market.world.address("dso")
        with pytest.raises(MeritgridError, match="revoked"):
            principal_of(session, old_market.GATEWAY_KEY, now_s)
        assert session.scalars(select(ApiKey.expires_at)).all() == [None, None], "they were given for good"
    assert let_in(engine, "oracle", market.kept.broker_password) is not None


def _require_that_it_goes_on(market: Market, engine: Engine) -> None:
    """New rows come behind the old ones: a gateway's next reading, its notice, the sender's next nonce."""
    world = market.world
    old_market.go_on_reading(world, engine, market.kept)
    with session_scope(engine) as session:
        sequences = session.scalars(select(Reading.sequence).order_by(Reading.sequence)).all()
        assert sequences == [1, 3, 4], "the second one was refused, the fourth one is new"
        assert session.scalars(select(Notice.subject).order_by(Notice.id.desc())).first() == str(nanogrid(0))
        nonces = session.execute(select(Transaction.sender, Transaction.nonce)).all()
    assert len(set(nonces)) == len(nonces) == len(market.rows["transactions"])


def test_a_database_of_a_later_version_is_refused_in_words(meritgrid: Run, database_url: str) -> None:
    migrate(database_url)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    answer = meritgrid("market", "migrate")
    assert answer.code == 2
    assert "of version 9999" in answer.err
    assert "Traceback" not in answer.err
    engine.dispose()
