"""The small market of tests/chain on five validators: real blocks, real time, a short market time unit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from market.chain.allow_lists import AllowLists, Change
from market.chain.bindings import Contracts
from market.chain.deployment import DeploymentParameters
from market.chain.profiles import PROFILES, connect
from market.services.permissions import registered_in
from market.settings import ChainProfile
from market.store.database import read_scope
from scripts.network.layout import Member
from tests.chain.world import EUR, Part, World
from tests.networks import Network

UNIT_S = 30
"""Market time unit: a step of an auction has as many seconds as the chain needs, and a day would have 48 minutes."""
PARAMETERS = DeploymentParameters(
    admin_delay_s=60,
    time_unit_s=UNIT_S,
    reading_deadline_s=UNIT_S + 1,
    hold_window_s=1,
    hold_term_s=UNIT_S // 2,
    hold_bond_ueur=5 * EUR,
    unbonding_s=9 * UNIT_S,
)
"""As short as they may be: whatever waits for one of them waits in real time."""
NETWORK = PROFILES[ChainProfile.NETWORK]
STOPPED = ("dso-1", "dso-2")
"""Without these two there is no block."""


@dataclass
class NetworkWorld(World):
    """Its clock is the system's; `at` waits."""

    chain: Network
    lists: AllowLists = field(init=False)

    def __post_init__(self) -> None:
        self.lists = AllowLists(self.contracts, self.sender("relayer"))

    def now(self) -> int:
        return int(time.time())

    def at(self, moment_s: int) -> None:
        time.sleep(max(0.0, moment_s - time.time()))

    def play(self, parts: Sequence[Part]) -> None:
        def follow(part: Part) -> None:
            for moment_s in part:
                self.at(moment_s)

        with ThreadPoolExecutor(len(parts)) as together:
            for ended in [together.submit(follow, part) for part in parts]:
                ended.result()

    def _stand_still(self) -> None:
        for name in STOPPED:
            self.chain.validators[name].freeze()

    def _go_on(self) -> None:
        for name in STOPPED:
            self.chain.validators[name].thaw()

    def reconcile(self) -> list[Change]:
        """What the market's process does every few seconds."""
        self.indexer.index_now()
        with read_scope(self.engine) as session:
            registered = registered_in(session)
        return self.lists.reconcile(registered)

    def contracts_at(self, member: Member) -> Contracts:
        """The contracts as another validator has them."""
        return Contracts(connect(member.rpc_url, NETWORK), self.contracts.deployment, NETWORK)
