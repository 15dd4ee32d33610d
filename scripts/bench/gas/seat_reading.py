"""What it would save to keep the signers of seats as contract code, and what keeping them so costs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from market.domain.records import BidRecord, PostedBid, pack_bids
from scripts.bench.figures import Row
from scripts.bench.gas.compile import create
from scripts.bench.gas.node import GasBenchError, Node, batches
from scripts.bench.gas.sizes import row_of

_SEATS_AT_ONCE: Final = 500
_SEATS_IN_CODE: Final = 760
_RECORD_BYTES: Final = 12


def seat_reading_rows(node: Node, seed: int, how: str, bids: int, batch: int) -> Iterator[Row]:
    """Reads the signers of `bids` bids of as many seats in random order, in batches, both ways."""
    account = node.account("reader of seats")
    contract = create(node, "SeatReading", account)
    words = [random.Random(f"{seed} {index}").getrandbits(254) for index in range(bids)]
    for part in batches(range(bids), _SEATS_AT_ONCE):
        node.send(account, contract, "writeSlots", part[0], [words[i] for i in part])
    made = []
    for chunk, part in enumerate(batches(words, _SEATS_IN_CODE)):
        made.append(node.send(account, contract, "writeCode", chunk, b"".join(w.to_bytes(32, "big") for w in part)))
    order = random.Random(seed).sample(range(bids), bids)
    gas = {"readSlots": 0, "readCode": 0}
    for part in batches(order, batch):
        records = pack_bids([PostedBid(BidRecord(1, 1, 0, index, 0), 0) for index in part])
        told = []
        for call in gas:
            sent = node.send(account, contract, call, records, _RECORD_BYTES)
            gas[call] += sent.gas
            told.append(sent.logs[0]["data"])
        if told[0] != told[1]:
            raise GasBenchError("seats read from code are not those of the slots")
    where = f"{bids} bids of as many seats, batches of {batch}, with the transaction"
    yield row_of(how, "gas_read_seat_from_slot", bids, gas["readSlots"] / bids, "gas/bid", where)
    yield row_of(how, "gas_read_seat_from_code", bids, gas["readCode"] / bids, "gas/bid", where)
    full = f"a contract for {min(bids, _SEATS_IN_CODE)} seats, anew whenever one of them changes"
    yield row_of(how, "gas_write_seats_as_code", min(bids, _SEATS_IN_CODE), made[0].gas, "gas", full)
