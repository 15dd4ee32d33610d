"""A program that indexes: indexing.py RPC_URL DEPLOYMENT DATABASE index|reindex."""

from __future__ import annotations

import sys
from pathlib import Path

from market.chain.bindings import Contracts
from market.chain.deployment import read_deployment
from market.chain.indexer import Indexer
from market.chain.profiles import PROFILES, connect
from market.settings import ChainProfile
from market.store.database import migrate, open_engine


def main() -> None:
    rpc_url, deployment, database, work = sys.argv[1:]
    profile = PROFILES[ChainProfile.EMBEDDED]
    contracts = Contracts(connect(rpc_url, profile), read_deployment(Path(deployment)), profile)
    migrate(database)
    indexer = Indexer(contracts, open_engine(database))
    {"index": indexer.index_now, "reindex": indexer.reindex}[work]()


if __name__ == "__main__":
    main()
