"""`meritgrid market verify-deployment`: what stands on the chain is held to this version's code and to the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account
from web3 import Web3

from market.chain.deployment import CONTRACT_NAMES, Deployment, DeploymentParameters, deploy, write_deployment
from market.chain.embedded import EmbeddedChain
from market.domain.problems import PROBLEM_TYPE
from tests.cli.conftest import Run


@pytest.fixture
def deployment(anvil: EmbeddedChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """Made on the chain and written where the settings say."""
    made = deploy(Web3(Web3.HTTPProvider(anvil.rpc_url)), Account.from_key("0x" + "11" * 32), DeploymentParameters())
    monkeypatch.setenv("MERITGRID_RPC_URL", anvil.rpc_url)
    monkeypatch.setenv("MERITGRID_DEPLOYMENT_FILE", str(tmp_path / "deployment.json"))
    write_deployment(tmp_path / "deployment.json", made)
    return made


def test_the_contracts_of_this_version_are_verified(deployment: Deployment, meritgrid: Run) -> None:
    answer = meritgrid("market", "verify-deployment", "--json")
    assert answer.code == 0
    assert [each["name"] for each in answer.document["contracts"]] == list(CONTRACT_NAMES)
    assert {each["problem"] for each in answer.document["contracts"]} == {None}
    assert "All are of this version's code." in meritgrid("market", "verify-deployment").out


def test_contracts_with_other_parameters_are_refused(deployment: Deployment, meritgrid: Run, tmp_path: Path) -> None:
    claimed = replace(deployment, parameters=DeploymentParameters(hold_bond_ueur=1))
    write_deployment(tmp_path / "deployment.json", claimed, replace=True)
    answer = meritgrid("market", "verify-deployment", "--json")
    assert answer.code == 2
    assert answer.document["type"] == PROBLEM_TYPE + "deployment-differs"
    assert f"Settlement at {deployment.addresses['Settlement']}: " in answer.document["detail"]


def test_without_a_deployment_there_is_nothing_to_verify(
    deployment: Deployment, meritgrid: Run, tmp_path: Path
) -> None:
    (tmp_path / "deployment.json").unlink()
    answer = meritgrid("market", "verify-deployment", "--json")
    assert (answer.code, answer.document["type"]) == (2, PROBLEM_TYPE + "wrong-deployment")
