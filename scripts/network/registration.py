"""What makes a new network a market: keys of the roles, the contracts, the first participants, the chain's lists."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from eth_account import Account

from market.chain.allow_lists import AllowLists
from market.chain.bindings import Contracts
from market.chain.deployment import (
    Deployment,
    DeploymentParameters,
    deploy,
    is_deployed,
    read_deployment,
    write_deployment,
)
from market.chain.indexer import Indexer
from market.chain.profiles import PROFILES, connect
from market.chain.sender import TransactionSender
from market.domain.signing import address_of
from market.services.operator_actions import role_id
from market.services.permissions import registered_in
from market.services.roles import Role
from market.settings import ChainProfile, KeySource, load_private_key, write_private_key
from market.store.database import migrate, open_engine, read_scope
from scripts.network.layout import Layout

HOLDERS: Final = (
    (Role.ORACLE, "oracle"),
    (Role.REFEREE, "referee"),
    (Role.DSO, "dso-1"),
    (Role.DSO, "dso-2"),
    (Role.AGGREGATOR, "aggregator"),
    (Role.AUDITOR, "auditor"),
)
"""Who is registered at first: role and name of the key."""
_KEY_BYTES: Final = 32


@dataclass(frozen=True)
class KeyRing:
    """The keys of a network's roles, one file of mode 600 each, made at random on first use."""

    layout: Layout

    def key(self, name: str) -> bytes:
        path = self.layout.keys / f"{name}.key"
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private_key(path, secrets.token_bytes(_KEY_BYTES))
        return load_private_key(KeySource(file=path))

    def address(self, name: str) -> str:
        return address_of(self.key(name))


@dataclass(frozen=True)
class Registrar:
    """The operator at work on a network that runs; repeatable: what is done is not done again."""

    layout: Layout
    chain_id: int
    rpc_url: str

    @property
    def database(self) -> str:
        return f"sqlite:///{(self.layout.folder / 'meritgrid.sqlite').absolute()}"

    def deploy(self, parameters: DeploymentParameters) -> Deployment:
        """The deployment of the network: the one on record that stands on the chain, or a new one.

        Raises:
            DeploymentError: a creation failed, or the one on record is of another chain.
        """
        path = self.layout.deployment(self.chain_id)
        web3 = connect(self.rpc_url, PROFILES[ChainProfile.NETWORK])
        if path.exists() and is_deployed(web3, on_record := read_deployment(path)):
            return on_record
        deployment = deploy(web3, Account.from_key(KeyRing(self.layout).key("operator")), parameters)
        write_deployment(path, deployment)
        return deployment

    def register(self, deployment: Deployment) -> int:
        """Give the first participants their roles, and list who is registered; returns how many lists' entries changed.

        Raises:
            MeritgridError: the registry or a list refuses.
        """
        keys, profile = KeyRing(self.layout), PROFILES[ChainProfile.NETWORK]
        contracts = Contracts(connect(self.rpc_url, profile), deployment, profile)
        migrate(self.database)
        engine = open_engine(self.database)
        try:
            operator = TransactionSender(contracts, engine, keys.key("operator"))
            operator.recover()
            self._grant(contracts, operator, [(role, keys.address(name)) for role, name in HOLDERS])
            Indexer(contracts, engine).index_now()
            with read_scope(engine) as session:
                registered = registered_in(session)
            relayer = TransactionSender(contracts, engine, keys.key("relayer"))
            relayer.recover()
            return len(AllowLists(contracts, relayer).reconcile(registered))
        finally:
            engine.dispose()

    def _grant(self, contracts: Contracts, operator: TransactionSender, roles: Sequence[tuple[Role, str]]) -> None:
        grant = contracts.registry.functions.grantRole
        operator.send_all(
            [
                (
                    grant(role_id(role), account),
                    f"grant {role.value} to {account}",
                    f"setup:role:{role.value}:{account}",
                )
                for role, account in roles
            ]
        )

    def write_settings(self) -> None:
        """Write the environment of the market's and the oracle's processes."""
        key = self.layout.keys.absolute()
        values = {
            "MERITGRID_DATA_DIR": self.layout.folder.absolute(),
            "MERITGRID_CHAIN_PROFILE": ChainProfile.NETWORK.value,
            "MERITGRID_CHAIN_ID": self.chain_id,
            "MERITGRID_RPC_URL": self.rpc_url,
            "MERITGRID_RELAYER_KEY__FILE": key / "relayer.key",
            "MERITGRID_ORACLE_KEY__FILE": key / "oracle.key",
        }
        written = "".join(f"{name}={value}\n" for name, value in values.items())
        self.layout.settings.write_text(f"# {time.strftime('%Y-%m-%d %H:%M:%S')}\n{written}", encoding="utf-8")
