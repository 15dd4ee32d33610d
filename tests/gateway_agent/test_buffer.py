"""The buffer: a chain of readings that is never lost nor doubled, and a disk that is never filled by trifles."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from gateway_agent.buffer import Buffer, PlacedBid
from gateway_agent.buffer_schema import open_engine
from gateway_agent.drivers import Registers
from gateway_agent.metering import ImplausibleMeasurement, next_reading
from gateway_agent.signer import Signer
from market.domain.gateway_key import GatewayKey
from market.domain.hashing import keccak256
from oracle.messages import GENESIS_HASH, Receipt, ReceiptOutcome, SignedReading
from tests.gateway_agent.world import AUCTION, NANOGRID, SETTLEMENT, T0, UNIT_S

KEY = keccak256(b"gateway of the buffer's tests")
SIGNER = Signer(GatewayKey.of(KEY), NANOGRID, SETTLEMENT, AUCTION)


@pytest.fixture
def buffer(tmp_path: Path) -> Buffer:
    return Buffer(tmp_path / "buffer.sqlite")


def read(buffer: Buffer, step: int, active_wh: int = 100) -> SignedReading | None:
    opening = Registers(T0 + step * UNIT_S, 1_000, 0)
    closing = Registers(T0 + (step + 1) * UNIT_S, 1_000 + active_wh, -3)
    return next_reading(buffer, SIGNER, opening, closing, UNIT_S, 11_000)


def store(buffer: Buffer, step: int) -> SignedReading:
    reading = read(buffer, step)
    assert reading is not None
    with buffer.transaction() as moment:
        moment.add_reading(reading, SETTLEMENT)
    return reading


def test_each_reading_continues_the_chain(buffer: Buffer) -> None:
    first, second = store(buffer, 0), store(buffer, 1)
    assert first.sequence == 1
    assert first.previous_hash == GENESIS_HASH
    assert second.sequence == 2
    assert second.previous_hash == first.entry_hash(SETTLEMENT)
    assert buffer.broken_link(SETTLEMENT) is None


def test_the_log_beside_the_buffer_stays_small(tmp_path: Path) -> None:
    """Its default of four megabytes filled a disk that the buffers of thirty gateways share."""
    path = tmp_path / "buffer.sqlite"
    buffer = Buffer(path, most_megabytes=10)
    for number in range(300):
        with buffer.transaction() as moment:
            moment.note(number, "event", detail="x" * 10_000)
    assert path.with_name("buffer.sqlite-wal").stat().st_size < 1_000_000
    assert len(buffer.journal(300)) == 300
    buffer.close()


def test_a_changed_reading_breaks_the_chain(buffer: Buffer, tmp_path: Path) -> None:
    for step in range(3):
        store(buffer, step)
    engine = open_engine(tmp_path / "buffer.sqlite", most_megabytes=10)
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(text("UPDATE readings SET active_energy_wh = 1 WHERE sequence = 2"))
    engine.dispose()
    assert buffer.broken_link(SETTLEMENT) == 3


def test_an_interval_is_read_once(buffer: Buffer) -> None:
    reading = store(buffer, 0)
    assert read(buffer, 0) is None
    with pytest.raises(IntegrityError), buffer.transaction() as moment:
        moment.add_reading(reading, SETTLEMENT)


def test_an_interval_whose_start_was_not_measured_is_not_signed(buffer: Buffer) -> None:
    closing = Registers(T0 + UNIT_S, 5, 5)
    assert next_reading(buffer, SIGNER, None, closing, UNIT_S, 11_000) is None
    assert next_reading(buffer, SIGNER, Registers(T0 + 1, 0, 0), closing, UNIT_S, 11_000) is None


def test_an_implausible_measurement_is_not_signed(buffer: Buffer) -> None:
    with pytest.raises(ImplausibleMeasurement):
        read(buffer, 0, -9_000)


def test_a_moment_is_there_wholly_or_not_at_all(buffer: Buffer) -> None:
    reading = read(buffer, 0)
    assert reading is not None
    with pytest.raises(RuntimeError, match="power cut"), buffer.transaction() as moment:  # noqa: PT012
        moment.add_reading(reading, SETTLEMENT)
        moment.set_value("boundary", T0)
        raise RuntimeError("power cut")
    assert buffer.all_readings() == []
    assert buffer.value("boundary") is None


def test_a_process_that_dies_within_a_moment_leaves_nothing_of_it(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from gateway_agent.buffer import Buffer\n"
        "buffer = Buffer(Path(sys.argv[1]))\n"
        "with buffer.transaction() as moment: moment.set_value('one', 1)\n"
        "with buffer.transaction() as moment:\n moment.set_value('two', 2)\n os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "buffer.sqlite"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", program, str(path)], env=environment, check=False)
    assert done.returncode == -9
    found = Buffer(path)
    assert (found.value("one"), found.value("two")) == (1, None)
    found.close()


def test_stored_and_duplicate_receipts_let_a_reading_go_refused_ones_keep_it(buffer: Buffer) -> None:
    readings = [store(buffer, step) for step in range(3)]
    outcomes = (ReceiptOutcome.STORED, ReceiptOutcome.DUPLICATE, ReceiptOutcome.REFUSED)
    receipts = [
        Receipt(subject=reading.digest(SETTLEMENT), outcome=outcome, code="revoked", reason="why")
        for reading, outcome in zip(readings, outcomes, strict=True)
    ]
    with buffer.transaction() as moment:
        assert moment.confirm(receipts) == receipts[2:]
        assert moment.confirm(receipts) == []
    assert buffer.counts() == {"WAITING": 0, "CONFIRMED": 2, "REFUSED": 1}
    assert buffer.all_readings() == readings


def test_every_commit_is_on_disk(buffer: Buffer) -> None:
    with buffer._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"


def test_when_space_is_short_the_journal_goes_first_and_waiting_readings_stay(tmp_path: Path) -> None:
    buffer = Buffer(tmp_path / "small.sqlite", most_megabytes=4)
    waiting = [store(buffer, step) for step in range(20)]
    with buffer.transaction() as moment:
        for number in range(9_000):
            moment.note(T0, "event", text="x" * 350, number=number)
    assert buffer.prune() >= 9_000
    assert buffer.journal() == []
    assert buffer.all_readings() == waiting
    buffer.close()


def test_a_bid_survives_as_it_was_signed(buffer: Buffer) -> None:
    bid = PlacedBid("0x01", 0, T0, 90_000, 500, 0, {"battery": (500, 0)}, "0x02", "0x03")
    with buffer.transaction() as moment:
        moment.save_bid(bid)
    assert buffer.bid_of("0x01") == bid
    assert buffer.bids_from(T0) == [bid]
    assert buffer.bids_from(T0 + 1) == []


def test_the_buffer_is_for_its_owner_only(tmp_path: Path, buffer: Buffer) -> None:
    assert (tmp_path / "buffer.sqlite").stat().st_mode & 0o077 == 0
