"""The whole state of a market, to compare before and after."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, inspect, text

from market.chain.bindings import Contracts
from market.store.database import read_scope

_BOOKKEEPING = frozenset({"idempotency_keys", "indexer_cursor", "indexed_blocks", "sign_in_nonces", "wallet_sessions"})
"""Tables that say who asked and how far the chain was read, not what is."""

State = Mapping[str, Any]


def state_of(engine: Engine, contracts: Contracts) -> State:
    """Every storage slot of every contract (money is in them too), and all rows of the database by table."""
    return {"storage": storage_of(contracts), **tables_of(engine)}


def tables_of(engine: Engine, without: frozenset[str] = frozenset()) -> dict[str, list[str]]:
    """All rows by table, in any order."""
    names = set(inspect(engine).get_table_names()) - _BOOKKEEPING - without
    with read_scope(engine) as session:
        return {name: sorted(map(repr, session.execute(text(f'SELECT * FROM "{name}"')))) for name in sorted(names)}


def storage_of(contracts: Contracts) -> dict[str, dict[str, str]]:
    """Slots that hold something, by contract."""
    # Not eth_getProof: anvil's storage roots hold slots that were only read, with the value 0.
    answer = contracts.web3.provider.make_request("anvil_dumpState", [])  # type: ignore[arg-type]
    accounts = json.loads(gzip.decompress(bytes.fromhex(answer["result"][2:])))["accounts"]
    by_address = {address.lower(): account["storage"] for address, account in accounts.items()}
    return {
        name: {slot: value for slot, value in by_address[address.lower()].items() if int(value, 16)}
        for name, address in contracts.deployment.addresses.items()
    }
