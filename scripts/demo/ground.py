"""What a market of the demonstration stands on, whatever chain and clock it has: contracts, the oracle's account at the
broker, the gateways' folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from eth_account import Account
from sqlalchemy import Engine
from web3 import Web3

from market.chain.deployment import DeploymentParameters, deploy, write_deployment
from market.settings import write_secret
from oracle.broker.credentials import new_service_account
from scripts.demo.households import Household
from scripts.demo.layout import Layout
from scripts.demo.scenario_files import nanogrid_path

READING_DEADLINE_UNITS: Final = 4
"""After the start of an interval, in market time units, an award without reading expires."""
_DEPLOYER: Final = "operator"


def deploy_contracts(layout: Layout, web3: Web3, unit_s: int) -> None:
    """Deploy the contracts with this market time unit [s], unless the folder has a deployment."""
    if layout.deployment.exists():
        return
    parameters = DeploymentParameters(
        time_unit_s=unit_s,
        reading_deadline_s=READING_DEADLINE_UNITS * unit_s,
        hold_window_s=unit_s,
        hold_term_s=4 * unit_s,
        hold_bond_ueur=1_000_000,
        unbonding_s=96 * unit_s,
    )
    write_deployment(layout.deployment, deploy(web3, Account.from_key(layout.keys.key(_DEPLOYER)), parameters))


def open_oracles_account(layout: Layout, engine: Engine, now_s: int) -> None:
    """Give the oracle an account at the embedded broker, with a new password."""
    layout.broker_password.unlink(missing_ok=True)
    with write_secret(layout.broker_password) as file:
        file.write(new_service_account(engine, "oracle", now_s) + "\n")


def hosts_of(layout: Layout, households: Sequence[Household], agents: int) -> dict[str, list[Path]]:
    """Name of each agent process → the gateways' folders that it hosts; at most as many as there are gateways."""
    return {
        f"agent-{number + 1}": [layout.gateway(each.index) for each in households[number::agents]]
        for number in range(min(agents, len(households)))
    }


def configure_gateways(layout: Layout, households: Sequence[Household]) -> None:
    """Make the gateways' folders, with what each owner has chosen."""
    for household in households:
        folder = layout.gateway(household.index)
        folder.mkdir(parents=True, exist_ok=True)
        profile = nanogrid_path(layout.scenario, household.index).absolute()
        toml = household.gateway_toml(profile, layout.keys.path(household.key_name).absolute())
        (folder / "gateway.toml").write_text(toml)
