"""The product's contracts with plain twins in place of all libraries that hold assembly.

Their code may be longer than EIP-170 allows: their node is one without `limited`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from web3 import Web3

from market.chain.deployment import Deployment, DeploymentParameters
from scripts.bench.gas.twins import AFFECTED, compile_with, deploy_code, twins

__all__ = ["deploy_plain", "plain_bytecode", "twins"]


@cache
def plain_bytecode() -> Mapping[str, str]:
    """Creation code of the affected contracts."""
    compiled = compile_with(twins(), optimizer_runs=1)  # plain code is longer: it must be created within CREATION_GAS
    return {name: compiled[name].creation for name in AFFECTED}


def deploy_plain(web3: Web3, account: Any, parameters: DeploymentParameters) -> Deployment:
    """A deployment of them at the addresses that the product's own would have."""
    return deploy_code(plain_bytecode(), web3, account, parameters)
