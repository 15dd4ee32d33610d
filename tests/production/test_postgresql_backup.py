"""The backups of docs/operations.md bring the database back: its commands are run here as they stand there."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from market.chain.deployment import write_deployment
from market.chain.embedded import EmbeddedChain
from market.chain.indexer import Indexer
from market.store.database import migrate, open_engine, session_scope
from market.store.facts import Document
from market.store.models import projection_tables
from scripts.rehearsal.postgresql import servers_account
from tests.chain.story import LEAD_HUNDREDTHS, Story
from tests.chain.world import Part, World
from tests.databases import ROLES, Cluster, new_cluster, run_sql
from tests.store.old_market import Rows, require_the_same_projections, rows_of

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
ARCHIVE = "/var/backups/meritgrid/wal"
_BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
DEBIANS_HBA = """\
local   all             postgres                                peer
local   all             all                                     peer
host    all             all             127.0.0.1/32            scram-sha-256
host    all             all             ::1/128                 scram-sha-256
local   replication     all                                     peer
host    replication     all             127.0.0.1/32            scram-sha-256
host    replication     all             ::1/128                 scram-sha-256
"""
"""Who gets in where Debian's package has made the server."""


def commands(heading: str) -> list[str]:
    """The blocks of commands below a heading of docs/operations.md."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = re.split(rf"\n##+ {heading}\n", page)[1].partition("\n#")[0]
    found = _BLOCK.findall(section)
    assert found, heading
    return found


@dataclass
class Site:
    """A server with production's settings and roles, and the market whose database is on it."""

    cluster: Cluster
    world: World
    folder: Path

    @property
    def backups(self) -> Path:
        return self.cluster.folder / "backups"

    def start(self) -> None:
        """With production's settings; only the archive's folder is the test's own."""
        included = self.cluster.folder / "meritgrid.conf"
        settings = (ROLES / "meritgrid.conf").read_text(encoding="utf-8")
        assert ARCHIVE in settings
        included.write_text(settings.replace(ARCHIVE, str(self.backups / "wal")))
        configuration = self.cluster.data / "postgresql.conf"
        line = f"include '{included}'\n"
        if line not in configuration.read_text():
            with configuration.open("a") as file:
                file.write(line)
        self.cluster.start()

    def run(self, block: str, **variables: str) -> None:
        """A block of the handbook: the product's commands as whoever runs it, the server's as the server's account."""
        own = block.startswith("meritgrid")
        environment = os.environ | {
            "PGHOST": str(self.cluster.folder), "PGDATABASE": "postgres",
            "PGDATA": str(self.cluster.data), "BACKUPS": str(self.backups),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **variables,
        }  # fmt: skip
        command = ["bash", "-euo", "pipefail", "-c", block]
        user = None if own else servers_account()
        done = subprocess.run(
            command, env=environment, user=user, cwd=self.folder if own else ROOT, check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout

    def product(self, block: str, database: str) -> None:
        """The product's commands on a database of the server."""
        self.run(
            block,
            MERITGRID_DATABASE_URL=self.cluster.url(database, "meritgrid_market"),
            MERITGRID_RPC_URL=self.world.chain.rpc_url,
            MERITGRID_DEPLOYMENT_FILE=str(self.folder / "deployment.json"),
        )

    def market(self, database: str = "meritgrid") -> Engine:
        return open_engine(self.cluster.url(database, "meritgrid_market"))


@pytest.fixture
def site(anvil: EmbeddedChain, tmp_path: Path) -> Iterator[Site]:
    with new_cluster() as cluster:
        backups = cluster.folder / "backups" / "wal"
        subprocess.run(["mkdir", "-p", str(backups)], check=True, user=servers_account())
        site = Site(cluster, None, tmp_path)  # type: ignore[arg-type]
        site.start()
        let_in_as_debian_and_the_handbook_do(cluster)
        run_sql(cluster, "roles.sql", "-v", "database=meritgrid")
        site.world = World.build(anvil, cluster.url("meritgrid", "meritgrid_market"))
        run_sql(cluster, "privileges.sql", role="meritgrid_market", database="meritgrid")
        write_deployment(tmp_path / "deployment.json", site.world.contracts.deployment)
        yield site
        site.world.engine.dispose()


def let_in_as_debian_and_the_handbook_do(cluster: Cluster) -> None:
    """Debian's superuser and its rules of access, and before them what the handbook's lines add; the account that runs
    the tests may besides be whoever it likes."""
    own = pwd.getpwuid(os.geteuid()).pw_name
    account = servers_account() or own
    with create_engine(cluster.url(), isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE ROLE {account} SUPERUSER LOGIN"))
    rules, names = cluster.data / "pg_hba.conf", cluster.data / "pg_ident.conf"
    rules.write_text(DEBIANS_HBA)
    names.write_text("")
    [block] = [each for each in commands("PostgreSQL") if "pg_ident" in each]
    lines = [line.strip() for line in block.splitlines() if "pg_hba" in line or "pg_ident" in line]
    script = "\n".join(lines).replace("/etc/postgresql/15/main", str(cluster.data))
    subprocess.run(["bash", "-euc", script], check=True, cwd=ROOT)
    names.write_text(names.read_text().replace(" postgres ", f" {account} "))
    with names.open("a") as file:
        file.writelines(f"meritgrid {own} {role}\n" for role in ("meritgrid_market", "meritgrid_oracle"))
    rules.write_text(f"local all meritgrid trust\n{rules.read_text()}")
    with create_engine(cluster.url(), isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("SELECT pg_reload_conf()"))


def note(site: Site, name: str) -> None:
    """Something that only the database knows."""
    with session_scope(site.world.engine) as session:
        session.add(Document(hash=f"0x{name.encode().hex():0>64}", kind="reason", body=name, created_at=1))


def play(story: Story, *parts: Part) -> None:
    """Parts of the story in intervals that are still to come."""
    world = story.world
    story.first = world.next_interval(LEAD_HUNDREDTHS)
    story.anchor()
    world.play(parts)


def begin(site: Site) -> None:
    """The first days of the market."""
    world = site.world
    world.register()
    story = Story(world)
    story.fund()
    story.begin_unbonding()
    story.reserve_capacity()
    play(story, story.answer_a_request())
    world.indexer.index_now()
    note(site, "first days")


def go_on(site: Site) -> None:
    """The days after that."""
    story = Story(site.world)
    play(story, story.sell_internally(), story.command())
    site.world.indexer.index_now()
    note(site, "later days")


def end(site: Site) -> None:
    """The last days, which the backups do not know."""
    story = Story(site.world)
    play(story, story.run_into_debt())
    story.pay_debts()
    story.take_money_out()
    site.world.indexer.index_now()
    note(site, "last days")


def facts(rows: Rows) -> Rows:
    """What cannot be built again from the chain."""
    rebuilt = {table.name for table in projection_tables()}
    return {name: found for name, found in rows.items() if name not in rebuilt}


def notes(rows: Rows) -> set[str]:
    return {row["body"] for row in rows["documents"]}


def require_restored(site: Site, database: str, known: Rows, live: Rows) -> None:
    """The facts of the moment, the chain's present, and a market that can go on."""
    engine = site.market(database)
    assert facts(rows_of(engine)) == facts(known)
    [product] = [block for block in commands("Restoring a moment") if block.startswith("meritgrid")]
    site.product(product, database)
    require_the_same_projections(engine, live)
    # The chain counts more transactions of these keys than the restored rows do.
    world = World(site.world.chain, site.world.contracts, engine, Indexer(site.world.contracts, engine))
    world.at(site.world.now())
    before = world.contracts.call(world.contracts.token.functions.totalSupply())
    world.sender("operator").send(
        world.contracts.token.functions.mint(world.address("stranger"), 7, bytes(32)), "mint", f"after {database}"
    )
    assert world.contracts.call(world.contracts.token.functions.totalSupply()) == before + 7
    engine.dispose()


def test_a_base_backup_and_the_archived_log_bring_back_a_moment(site: Site) -> None:
    begin(site)
    [backup] = commands("Base backup")
    site.run(backup)
    go_on(site)
    known = rows_of(site.world.engine)
    time.sleep(0.1)
    with site.world.engine.connect() as connection:
        moment = str(connection.scalar(text("SELECT clock_timestamp()")))
    time.sleep(0.1)
    end(site)
    live = rows_of(site.world.engine)
    with site.world.engine.begin() as connection:
        connection.execute(text("DROP TABLE readings, documents, bids_received CASCADE"))  # what must not have happened
    site.world.engine.dispose()
    site.cluster.stop()
    files, _ = commands("Restoring a moment")
    site.run(files, MOMENT=moment)
    site.start()
    until_open(site)
    assert notes(known) == {"first days", "later days"}
    require_restored(site, "meritgrid", known, live)


def test_a_lost_disk_costs_what_was_not_archived_yet(site: Site) -> None:
    begin(site)
    [backup] = commands("Base backup")
    site.run(backup)
    go_on(site)
    known = rows_of(site.world.engine)
    with create_engine(site.cluster.url(), isolation_level="AUTOCOMMIT").connect() as connection:
        # What archive_timeout does within a minute:
        last = str(connection.scalar(text("SELECT pg_walfile_name(pg_switch_wal())")))
    while not (site.backups / "wal" / last).exists():
        time.sleep(0.1)
    site.world.engine.dispose()
    site.cluster.stop("immediate")
    lines = commands("Restoring a moment")[0].splitlines()
    kept = [line for line in lines if "recovery_target_time" not in line and "pg_wal" not in line]
    assert len(kept) == len(lines) - 2, "the two lines that the handbook names"
    subprocess.run(["rm", "-r", str(site.cluster.data / "pg_wal")], check=True)
    site.run("\n".join(kept))
    site.start()
    until_open(site)
    require_restored(site, "meritgrid", known, known)


def test_a_dump_is_restored_into_another_database(site: Site) -> None:
    begin(site)
    go_on(site)
    dump, restore = commands("Dump")
    site.run(dump)
    known = rows_of(site.world.engine)
    end(site)
    live = rows_of(site.world.engine)
    site.run(restore)
    require_restored(site, "meritgrid_restored", known, live)
    migrate(site.cluster.url("meritgrid_restored", "meritgrid_oracle"))


def until_open(site: Site) -> None:
    engine = create_engine(site.cluster.url("meritgrid"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for _ in range(300):
            if not connection.scalar(text("SELECT pg_is_in_recovery()")):
                break
            time.sleep(0.1)
        else:
            raise AssertionError((site.cluster.folder / "log").read_text())
    engine.dispose()
