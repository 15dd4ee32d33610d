"""The small market of tests/chain on five validators: real blocks, real time, a short market time unit."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from market.chain.allow_lists import AllowLists, Change
from market.chain.bindings import Contracts
from market.chain.deployment import DeploymentParameters
from market.chain.profiles import PROFILES, connect
from market.services.permissions import registered_in
from market.settings import ChainProfile
from market.store.database import read_scope
from scripts.network.layout import Layout, Member
from scripts.network.validators import Validators, await_health
from tests.chain.world import EUR, World

UNIT_S = 30
"""Market time unit: a step of an auction has as many seconds as the chain needs, and a day would have 48 minutes."""
PARAMETERS = DeploymentParameters(
    admin_delay_s=60,
    time_unit_s=UNIT_S,
    reading_deadline_s=4 * UNIT_S,
    hold_window_s=2 * UNIT_S,
    hold_term_s=3 * UNIT_S,
    hold_bond_ueur=5 * EUR,
    unbonding_s=40 * UNIT_S,
)
NETWORK = PROFILES[ChainProfile.NETWORK]


@dataclass(frozen=True)
class Network:
    """A network whose validators are children of the tests."""

    layout: Layout
    validators: Validators
    seconds_to_create: float
    seconds_to_start: float

    def member(self, name: str) -> Member:
        return self.validators[name].member

    def all_up(self) -> None:
        """Start who is down, and wait until all are in good health."""
        self.validators.start()
        await_health(list(self.validators))


@dataclass
class NetworkWorld(World):
    """Its clock is the system's; `at` waits."""

    lists: AllowLists = field(init=False)

    def __post_init__(self) -> None:
        self.lists = AllowLists(self.contracts, self.sender("relayer"))

    def now(self) -> int:
        return int(time.time())

    def at(self, moment_s: int) -> None:
        time.sleep(max(0.0, moment_s - time.time()))

    def next_interval(self, ahead_hundredths: int) -> int:
        """The first interval from whose start so many hundredths of a unit are still to come, and a second."""
        earliest = self.now() + self.unit_s * ahead_hundredths // 100 + 1
        return -(-earliest // self.unit_s) * self.unit_s

    def reconcile(self) -> list[Change]:
        """What the market's process does every few seconds."""
        self.indexer.index_now()
        with read_scope(self.engine) as session:
            registered = registered_in(session)
        return self.lists.reconcile(registered)

    def contracts_at(self, member: Member) -> Contracts:
        """The contracts as another validator has them."""
        return Contracts(connect(member.rpc_url, NETWORK), self.contracts.deployment, NETWORK)
