"""What Brownie deploys is what contracts/artifacts commits."""

import json
from pathlib import Path

import pytest
from brownie import project

ARTIFACTS = Path(__file__).resolve().parents[2] / "contracts" / "artifacts"


def deployable_artifacts():
    artifacts = [json.loads(path.read_text()) for path in sorted(ARTIFACTS.glob("*.json"))]
    return [artifact for artifact in artifacts if artifact["bytecode"] != "0x"]


@pytest.mark.parametrize("artifact", deployable_artifacts(), ids=lambda artifact: artifact["contractName"])
def test_brownies_bytecode_is_the_committed_one(artifact):
    built = project.get_loaded_projects()[0][artifact["contractName"]]
    assert "0x" + built.bytecode.removeprefix("0x") == artifact["bytecode"]


def test_the_node_has_the_rules_that_the_product_runs_on(web3, chain):
    assert web3.client_version.startswith("anvil/")
    assert web3.eth.get_block("latest")["gasLimit"] == 2**24
    assert chain.id == 31337
