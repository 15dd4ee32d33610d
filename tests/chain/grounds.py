"""A chain on which tests deploy contracts of their own, whichever profile it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import Web3

from market.chain.deployment import Deployment, DeploymentParameters, deploy
from market.chain.profiles import PROFILES, connect
from market.settings import ChainProfile, Settings
from tests.chain import world as embedded
from tests.chain.world import Chain, World
from tests.network import world as network
from tests.network.world import NetworkWorld


@dataclass(frozen=True)
class Ground:
    """A chain that runs, and keys of actors that have its coin and may deploy."""

    chain_profile: ChainProfile
    chain_id: int
    chain: Chain
    keys: Mapping[str, bytes]

    @property
    def deployer(self) -> LocalAccount:
        account: LocalAccount = Account.from_key(self.keys["operator"])
        return account

    @property
    def parameters(self) -> DeploymentParameters:
        """With a market time unit that this chain's tests can wait for."""
        return {ChainProfile.EMBEDDED: embedded, ChainProfile.NETWORK: network}[self.chain_profile].PARAMETERS

    def web3(self) -> Web3:
        return connect(self.chain.rpc_url, PROFILES[self.chain_profile])

    def deploy(self, parameters: DeploymentParameters) -> Deployment:
        return deploy(self.web3(), self.deployer, parameters)

    def world(self, database_url: str, deployment: Deployment | None = None) -> World:
        """The market on contracts of its own, or on those of a deployment; its database is empty."""
        kind = {ChainProfile.EMBEDDED: World, ChainProfile.NETWORK: NetworkWorld}[self.chain_profile]
        return kind.on(
            self.chain, database_url, deployment or self.deploy(self.parameters), self.chain_profile, self.keys
        )

    def settings(self, **others: object) -> Settings:
        """As the market's processes would be given them."""
        given = {"rpc_url": self.chain.rpc_url, "chain_profile": self.chain_profile, "chain_id": self.chain_id}
        return Settings(**(given | others))
