"""A market that has run for a while, and the same market in a database of an earlier version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, Table, select, text

from market.domain.messages import Reading, TsoValidation
from market.domain.signing import sign_message
from market.domain.states import DispatchState
from market.domain.typed_data import Domain
from market.services.access import GATEWAY_ROLE, KEY_PREFIX, token_hash
from market.store.database import open_engine, session_scope
from market.store.facts import (
    Acknowledgement,
    AuditEntry,
    Baseline,
    BidReceived,
    BidState,
    Document,
    GatewayStatus,
    SignedDecision,
)
from market.store.models import projection_tables
from market.store.work import (
    ApiKey,
    BrokerCredential,
    Dispatch,
    DispatchKind,
    Enrolment,
    GatewayCertificate,
    IdempotencyKey,
    OutboxState,
    RevocationList,
    SignInNonce,
    SnapshotRevision,
    WalletSession,
)
from oracle.broker.credentials import new_service_account, password_hash
from oracle.ingest import Ingest
from oracle.messages import ReadingBatch
from tests.chain.story import Story
from tests.chain.world import KEYS, NO_REASON, NODE, U, World, gateway_key, nanogrid
from tests.clock import TEST_EPOCH
from tests.oracle.conftest import Meter

API_KEY = f"{KEY_PREFIX}a-program-of-the-dso"
GATEWAY_KEY = f"{KEY_PREFIX}gateway-0"
SESSION = "a-wallet-session"
OFFER, DISPATCH, DECISION = (f"0x{number:064x}" for number in (0xA1, 0xA2, 0xA3))
ALEMBIC = "alembic_version"


T = TEST_EPOCH + 10 * U
"""The interval of what the chain does not know."""


@dataclass(frozen=True)
class Kept:
    """What people and programs still hold of the old market: the broker's password, the meter's next reading."""

    broker_password: str
    meter: Meter


def fill(world: World) -> Kept:
    """The chain's whole story, and everything that the chain does not know: at least one row in every table."""
    Story(world).tell()
    _rare_events(world)
    _readings(world, meter := Meter(0, _ingest(world, world.engine).settlement))
    with session_scope(world.engine) as session:
        session.add_all([*_bids(world), *_orders(world), *_access(world)])
    return Kept(new_service_account(world.engine, "oracle", world.now()), meter)


def _rare_events(world: World) -> None:
    """What the story has no place for: a pause, an open enrolment, an announced reading, the answer to a TSO."""
    contracts, interval = world.contracts, world.now() // U * U
    world.at(interval + 2 * U)
    world.send("operator", contracts.registry.functions.setPaused(NODE, 1, True))
    enrolment = (nanogrid(1), world.address("stranger"), world.now() + 86_400)
    world.send("operator", contracts.settlement.functions.openEnrolment(*enrolment))
    reading = Reading(nanogrid(0), interval, 500, 0, 1)
    signature = sign_message(gateway_key(0), reading, contracts.domain_of(reading)).compact()
    world.send("stranger", contracts.metering.functions.announceReading(reading.arguments(), signature))
    world.send("oracle", contracts.metering.functions.anchorReadings(interval, bytes(31) + bytes(1), 1))
    validation = TsoValidation(bytes(32), NODE, True, NO_REASON)
    signed = world.sign(KEYS["dso"], validation)
    world.send("relayer", contracts.signals.functions.validateTsoRequest(*validation.arguments(), signed))
    world.indexer.index_now()


def _ingest(world: World, engine: Engine) -> Ingest:
    deployment = world.contracts.deployment
    domain = Domain(deployment.chain_id, deployment.addresses["Settlement"])
    return Ingest(engine, domain, KEYS["oracle"], world.contracts.calendar, world.now)


def _readings(world: World, meter: Meter) -> None:
    """Two that are stored, and one between them that is refused for what it says and keeps its place."""
    last = world.now() // U * U - U
    ingest = _ingest(world, world.engine)
    readings = (meter.read(last - 2 * U), meter.read(last - U, 10**8), meter.read(last))
    ingest.take(meter.topic, ReadingBatch(readings=readings).payload())


def go_on_reading(world: World, engine: Engine, kept: Kept) -> None:
    """The same gateway's next reading, to whoever has the database now."""
    meter = Meter(0, kept.meter.domain, kept.meter.sequence, kept.meter.head)
    reading = meter.read(world.now() // U * U - 3 * U - U)
    _ingest(world, engine).take(meter.topic, ReadingBatch(readings=(reading,)).payload())


def _bids(world: World) -> list[Any]:
    states = [
        (BidState.POSTED, None, 0), (BidState.SKIPPED, "WRONG_REVISION", None), (BidState.LATE, "GATE_CLOSED", None),
        (BidState.RECEIVED, None, None),
    ]  # fmt: skip
    return [
        BidReceived(
            offer=OFFER, nanogrid=nanogrid(place), index=place, interval=T, price_ueur_kwh=150_000, quantity=500,
            minimum=100, revision=0, signature=bytes([place]) * 64, signer=world.address("stranger"),
            digest=f"0x{place:064x}", received_at=world.now(), receipt_signature=bytes(65), state=state, reason=reason,
            position=position,
        )
        for place, (state, reason, position) in enumerate(states)
    ]  # fmt: skip


def _orders(world: World) -> list[Any]:
    now_s, dso = world.now(), world.address("dso")
    gateway = Meter(0, _ingest(world, world.engine).settlement, key=gateway_key(0)).gateway
    return [
        Document(hash=DECISION, kind="reason", body='{"text": "Überlast"}', created_at=now_s),
        SignedDecision(
            kind="Command", signer=dso, message={"quantity": 600, "interval": T, "reason": DECISION},
            signature=bytes(range(65)), digest=DECISION, subject=str(nanogrid(0)), received_at=now_s,
        ),
        Dispatch(
            id=DISPATCH, kind=DispatchKind.COMMAND, nanogrid=nanogrid(0), gateway=gateway, interval=T, product=2,
            direction=1, quantity=600, baseline=-250, change=-600, target_w=-3400, target_var=0,
            lease_end=T + U, signature=bytes(64), offer=None, ordinal=None, decision=DECISION,
            state=OutboxState.SUCCEEDED, reason=None, created_at=now_s, published_at=now_s, answered_at=now_s,
            started_at=now_s, ended_at=now_s + 1,
        ),
        Acknowledgement(
            dispatch=DISPATCH, gateway=gateway, nanogrid=nanogrid(0), state=int(DispatchState.SUCCEEDED), at=now_s + 1,
            reason=None, signature=bytes(64), received_at=now_s + 2,
        ),
        GatewayStatus(
            gateway=gateway, nanogrid=nanogrid(0), online=True, software_version="1.0",
            state={"soc_permille": 512, "sequence": 3, "plant": None}, received_at=now_s,
        ),
        Baseline(
            portfolio=nanogrid(0) >> 16, interval=T, kind=0, values=[250, None, -40], root=OFFER,
            method="NOMINATED", nominated_at=now_s, anchor_transaction=None,
        ),
        AuditEntry(
            at=now_s, author=dso, cause="bid received", object_kind="offer", object_id=OFFER, details={"nanogrid": 1}
        ),
    ]  # fmt: skip


def _access(world: World) -> list[Any]:
    now_s, dso = world.now(), world.address("dso")
    gateway = Meter(0, _ingest(world, world.engine).settlement).gateway
    return [
        ApiKey(
            key_hash=token_hash(API_KEY), subject=dso, role="DSO", scopes=["read", "decisions"], nanogrid=None,
            created_at=now_s, expires_at=None, last_used_at=now_s, revoked_at=None, idempotency_key=None,
        ),
        ApiKey(
            key_hash=token_hash(GATEWAY_KEY), subject=world.address("stranger"), role=GATEWAY_ROLE, scopes=["read"],
            nanogrid=nanogrid(0), created_at=now_s, expires_at=None, last_used_at=None, revoked_at=now_s,
            idempotency_key=None,
        ),
        WalletSession(
            token_hash=token_hash(SESSION), address=dso, created_at=now_s, expires_at=now_s + 86_400, revoked_at=None
        ),
        SignInNonce(nonce="used-once", created_at=now_s, expires_at=now_s + 300, used_at=now_s + 1),
        IdempotencyKey(
            key="again", subject=dso, route="/v1/x", request_hash=OFFER, response_status=201, response_body=b"{}",
            response_type="application/json", created_at=now_s,
        ),
        BrokerCredential(
            username=gateway, password_sha256=password_hash("secret"), kind="GATEWAY", gateway=gateway,
            nanogrid=nanogrid(0), created_at=now_s, revoked_at=None,
        ),
        GatewayCertificate(
            serial="2a", gateway=gateway, nanogrid=nanogrid(0), issued_at=now_s, expires_at=now_s + 86_400,
            revoked_at=now_s + 1, reason="by-hand",
        ),
        RevocationList(number=1, pem="a list", issued_at=now_s + 1),
        SnapshotRevision(id=1, revision=now_s * 10**9),
        Enrolment(
            code_address=world.address("stranger"), nanogrid=nanogrid(0), created_by="operator", created_at=now_s,
            expires_at=now_s + 86_400, gateway=None, used_at=None,
        ),
    ]  # fmt: skip


Rows = dict[str, list[dict[str, Any]]]


def tables_of(connection: Connection) -> dict[str, Table]:
    """The tables as they are in the database, whatever the models say; parents first."""
    found = MetaData()
    found.reflect(connection)
    return {table.name: table for table in found.sorted_tables if not table.name.startswith(("readings_", ALEMBIC))}


def rows_of(engine: Engine, columns: dict[str, list[str]] | None = None) -> Rows:
    """Every row, as it is stored; `columns`: of these tables and columns only."""
    with engine.connect() as connection:
        tables = tables_of(connection)
        chosen = columns or {name: [column.name for column in table.columns] for name, table in tables.items()}
        return {
            name: [dict(row._mapping) for row in connection.execute(_in_order(tables[name], names))]
            for name, names in chosen.items()
        }


def _in_order(table: Table, names: list[str]) -> Any:
    return select(*(table.c[name] for name in names)).order_by(*table.primary_key.columns)


def require_the_same_projections(engine: Engine, expected: Rows) -> None:
    """What is known from the chain is as expected; counted ids, and where the indexer's ranges ended, may differ."""
    found = rows_of(engine)
    for name in {table.name for table in projection_tables()} - {"indexed_blocks", "indexer_cursor"}:
        rows, wanted = ([{**row, "id": 0} for row in each[name]] for each in (found, expected))
        assert rows == wanted, name


def copy_into(old_url: str, rows: Rows) -> dict[str, list[str]]:
    """Fill a database of an earlier version with what of these rows it knows; returns its tables and columns."""
    engine = open_engine(old_url)
    with engine.begin() as connection:
        tables = tables_of(connection)
        columns = {name: [column.name for column in table.columns] for name, table in tables.items()}
        for name, names in columns.items():
            if rows[name]:
                connection.execute(tables[name].insert(), [{each: row[each] for each in names} for row in rows[name]])
        if engine.dialect.name == "postgresql":
            _count_on(connection, tables)
    engine.dispose()
    return columns


def _count_on(connection: Connection, tables: dict[str, Table]) -> None:
    """Sequences go on behind the rows, as if they had given the ids."""
    for name, table in tables.items():
        if "id" in table.c and table.c.id.autoincrement is True:
            connection.execute(
                text(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}))")
            )
