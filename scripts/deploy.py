"""Deploys the contracts through Brownie, and keeps their addresses per chain id.

    scripts/brownie/brownie run deploy main --network anvil-ci
    MERITGRID_CHAIN_RPC_URL=http://127.0.0.1:8545 MERITGRID_DEPLOYER_KEY_FILE=deployer.key \\
      scripts/brownie/brownie run deploy main --network meritgrid

MERITGRID_DEPLOYMENT_FILE      where the addresses are written (else deployments/<chain id>.json in MERITGRID_DATA_DIR)
MERITGRID_DEPLOYER_KEY_FILE    the deployer's private key in hexadecimal; else the node's own first account
MERITGRID_DEPLOY_PARAMETERS    a JSON file of parameters; MERITGRID_DEPLOY_TIME_UNIT_S and the like stand over it
MERITGRID_DEPLOY_REPLACE=1     replace another deployment that is on record for this chain id
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from brownie import accounts, chain, network, project, web3
from web3 import Web3

from market.chain.deployment import (
    Deployment,
    DeploymentError,
    DeploymentParameters,
    deployment_path,
    is_deployed,
    parameters_from,
    plan,
    read_deployment,
    write_deployment,
)


def main() -> None:
    """Deploys, unless the deployment on record stands on this chain already."""
    path = deployment_path(chain.id)
    replace = os.environ.get("MERITGRID_DEPLOY_REPLACE") == "1"
    if path.exists() and not replace:
        # Not through Brownie's own client: it remembers the code of addresses, also of a chain that was here before.
        if not is_deployed(Web3(Web3.HTTPProvider(web3.provider.endpoint_uri)), read_deployment(path)):
            raise DeploymentError(
                f"{path} holds a deployment that is not on this chain; MERITGRID_DEPLOY_REPLACE=1 replaces it"
            )
        print(f"{path} is deployed on chain {chain.id} already")
        return
    deployment = deploy(_deployer(), parameters_from())
    write_deployment(path, deployment, replace=replace)
    print(f"{len(deployment.addresses)} contracts on chain {chain.id}, written to {path}")


def deploy(deployer: Any, parameters: DeploymentParameters) -> Deployment:
    """Creates the contracts with a Brownie account, by the same plan as market.chain.deployment.deploy."""
    containers = project.get_loaded_projects()[0]
    first_block = web3.eth.block_number
    creations = plan(deployer.address, deployer.nonce, parameters)
    # Brownie would offer a price of its own, for which a new key on a chain without fees has no coin.
    fees = {"gas_price": 0} if web3.eth.gas_price == 0 else {}
    for creation in creations:
        # Not by Brownie's `deploy`: on live networks it keeps records of its own, which stop it on the next chain.
        code = containers[creation.name].deploy.encode_input(*creation.arguments)
        created = deployer.transfer(data=code, **fees).contract_address
        if created != creation.address:
            raise DeploymentError(f"{creation.name} is at {created}, not at {creation.address}")
    return Deployment(
        chain_id=chain.id,
        deployer=deployer.address,
        first_block=first_block,
        addresses={creation.name: creation.address for creation in creations},
        parameters=parameters,
    )


def _deployer() -> Any:
    if key_file := os.environ.get("MERITGRID_DEPLOYER_KEY_FILE"):
        return accounts.add(Path(key_file).read_text(encoding="utf-8").strip())
    if not accounts:
        raise DeploymentError(f"{network.show_active()} has no account of its own: set MERITGRID_DEPLOYER_KEY_FILE")
    return accounts[0]
