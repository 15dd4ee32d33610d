"""A program that sends: what a market or oracle does at its start and at its next round.

Usage: sending.py RPC_URL DEPLOYMENT DATABASE KEY WORK. It finishes what an earlier one began (not if "recovers" is
false; if "takes_over", as another process does a minute later), and then has the mints of WORK made together: JSON,
{"mints": {purpose: micro-euro}, "gas_limit": …, "profile": {…}}.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from market.chain.bindings import Contracts
from market.chain.deployment import read_deployment
from market.chain.profiles import PROFILES, connect
from market.chain.sender import TransactionSender
from market.settings import ChainProfile
from market.store.database import open_engine

HOLDER = "0x" + 40 * "9"


def main() -> None:
    rpc_url, deployment, database, key, given = sys.argv[1:]
    work = json.loads(given)
    profile = replace(PROFILES[ChainProfile.EMBEDDED], **work.get("profile", {}))
    contracts = Contracts(connect(rpc_url, profile), read_deployment(Path(deployment)), profile)
    late_s = 60 if work.get("takes_over") else 0
    sender = TransactionSender(contracts, open_engine(database), bytes.fromhex(key), now=lambda: time.time() + late_s)
    if work.get("takes_over"):
        sender.finish_abandoned()
    elif work.get("recovers", True):
        sender.recover()
    mint = contracts.token.functions.mint
    calls = [(mint(HOLDER, ueur, bytes(32)), "mint", purpose) for purpose, ueur in work["mints"].items()]
    sender.send_all(calls, work.get("gas_limit"))


if __name__ == "__main__":
    main()
