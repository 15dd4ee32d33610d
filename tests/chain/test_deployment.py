"""The deployment: a pure plan, parameters that fit each other, one file for each chain that is not overwritten."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from web3 import Web3
from web3.exceptions import ContractPanicError

from market.chain.bindings import artifact
from market.chain.deployment import (
    CONTRACT_NAMES,
    DeploymentError,
    DeploymentParameters,
    deploy,
    deployment_path,
    is_deployed,
    parameters_from,
    plan,
    read_deployment,
    write_deployment,
)
from market.chain.embedded import start_anvil
from market.settings import Settings
from tests.chain.grounds import Ground
from tests.clock import TEST_EPOCH

ROOT = Path(__file__).resolve().parents[2]

DEPLOYER = Account.from_key("0x" + "11" * 32)
DEMO = DeploymentParameters(
    admin_delay_s=0, reading_deadline_s=3600, hold_window_s=900, hold_term_s=900, unbonding_s=20_000
)

DEFAULTS = DeploymentParameters()


def test_the_plan_is_that_of_the_constructors() -> None:
    creations = plan(DEPLOYER.address, 5, DEMO)
    assert tuple(creation.name for creation in creations) == CONTRACT_NAMES
    assert len({creation.address for creation in creations}) == len(CONTRACT_NAMES)
    for creation in creations:
        (constructor,) = (entry for entry in artifact(creation.name)["abi"] if entry["type"] == "constructor")
        assert len(creation.arguments) == len(constructor["inputs"])


def test_the_deployer_is_operator_unless_another_is_named() -> None:
    operator = Account.from_key("0x" + "22" * 32).address
    assert plan(DEPLOYER.address, 0, DEMO)[0].arguments[0] == DEPLOYER.address
    assert plan(DEPLOYER.address, 0, replace(DEMO, operator=operator))[0].arguments[0] == operator


def test_contracts_are_created_where_the_plan_says_and_found_again(ground: Ground, tmp_path: Path) -> None:
    web3 = ground.web3()
    deployment = ground.deploy(DEMO)
    assert is_deployed(web3, deployment)
    path = tmp_path / "deployments" / f"{ground.chain_id}.json"
    write_deployment(path, deployment)
    assert read_deployment(path) == deployment
    assert json.loads(path.read_text())["parameters"]["readingDeadlineS"] == DEMO.reading_deadline_s
    registry = web3.eth.contract(
        address=Web3.to_checksum_address(deployment.addresses["ParticipantRegistry"]),
        abi=artifact("ParticipantRegistry")["abi"],
    )
    assert registry.functions.settlement().call() == deployment.addresses["Settlement"]
    assert registry.functions.timeUnitS().call() == DEMO.time_unit_s

    second = ground.deploy(DEMO)
    with pytest.raises(DeploymentError, match="another deployment"):
        write_deployment(path, second)
    assert read_deployment(path) == deployment
    write_deployment(path, second, replace=True)
    assert read_deployment(path) == second


@pytest.mark.parametrize(
    "wrong",
    [
        {"reading_deadline_s": 900},
        {"unbonding_s": DEFAULTS.longest_settlement_s},
        {"unbonding_s": DEFAULTS.unbonding_s - DEFAULTS.offer_horizon_s + 4 * DEFAULTS.time_unit_s - 1},
        {"time_unit_s": 0},
        {"hold_bond_ueur": -1},
        {"hold_term_s": 2**32},
    ],
)
def test_parameters_that_contradict_each_other_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        DeploymentParameters(**wrong)


def test_offers_open_up_to_two_days_ahead_by_default_and_tight_parameters_just_let_them() -> None:
    assert DEFAULTS.offer_horizon_s == 2 * 86_400
    tightest = replace(DEFAULTS, unbonding_s=DEFAULTS.unbonding_s - DEFAULTS.offer_horizon_s + 4 * DEFAULTS.time_unit_s)
    assert tightest.offer_horizon_s == 4 * DEFAULTS.time_unit_s


@pytest.mark.parametrize(("more_s", "deployed"), [(0, True), (-1, False)])
def test_settlement_is_not_deployed_with_bonds_that_could_be_gone_too_early(
    ground: Ground, more_s: int, deployed: bool
) -> None:
    """Also by whoever deploys without this product: the constructor fails."""
    web3, deployment = ground.web3(), ground.deploy(DEMO)
    others = ("ParticipantRegistry", "GridSignals", "CapacityRegister", "MeritOrderAuction", "MeteringOracle")
    places = [deployment.addresses[name] for name in (*others, "SettlementToken")]
    *rest, unbonding_s = plan(DEPLOYER.address, 0, DEMO)[CONTRACT_NAMES.index("Settlement")].arguments[-1]
    given = (*places, (*rest, unbonding_s - DEMO.offer_horizon_s + more_s))
    contract = web3.eth.contract(abi=artifact("Settlement")["abi"], bytecode=artifact("Settlement")["bytecode"])
    creation = contract.constructor(*given).build_transaction(
        {"from": deployment.deployer, "gas": 10**7, "gasPrice": 0}
    )
    if deployed:
        assert len(web3.eth.call(creation)) > 0
    else:
        with pytest.raises(ContractPanicError, match="overflow"):
            web3.eth.call(creation)


def test_variables_stand_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "parameters.json"
    file.write_text(json.dumps({"timeUnitS": 300, "holdWindowS": "600"}))
    environment = {"MERITGRID_DEPLOY_PARAMETERS": str(file), "MERITGRID_DEPLOY_TIME_UNIT_S": "120"}
    parameters = parameters_from(environment)
    assert (parameters.time_unit_s, parameters.hold_window_s) == (120, 600)
    assert parameters.hold_term_s == DeploymentParameters().hold_term_s
    assert DeploymentParameters.from_mapping(parameters.to_mapping()) == parameters


@pytest.mark.parametrize("content", ['{"timeUnit": 300}', '{"timeUnitS": "long"}', "[]", "{"])
def test_wrong_parameter_files_are_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "parameters.json"
    file.write_text(content)
    with pytest.raises(DeploymentError):
        parameters_from({"MERITGRID_DEPLOY_PARAMETERS": str(file)})


@pytest.mark.parametrize("named", [{}, {"MERITGRID_DATA_DIR": "data"}, {"MERITGRID_DEPLOYMENT_FILE": "there.json"}])
def test_the_deployment_is_written_where_the_market_looks_for_it(
    named: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # where no .env is
    for variable in ("MERITGRID_DATA_DIR", "MERITGRID_DEPLOYMENT_FILE"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in named.items():
        monkeypatch.setenv(variable, value)
    assert deployment_path(7) == Settings(chain_id=7).deployment_path


def test_each_chain_has_a_file_of_its_own_that_no_clean_removes() -> None:
    assert deployment_path(7, {}) == Path("meritgrid-data/deployments/7.json")
    cleaned = re.findall(r"^\trm -rf (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert any("build" in line.split() for line in cleaned)
    assert not any("meritgrid-data" in line for line in cleaned)


@pytest.mark.processes
@pytest.mark.slow
def test_brownie_run_deploys_the_same_contracts_at_the_same_addresses(tmp_path: Path, free_ports: Any) -> None:
    """scripts/deploy.py through Brownie, and what the demonstration and the tests do, are one deployment.

    The deployer's key is new: on a chain without fees it needs no coin. On two embedded nodes only: Brownie pins an old
    web3 that must not know the network's blocks, and addresses of one key are the same on two new chains only.
    """
    key = tmp_path / "deployer.key"
    key.write_text("0x" + bytes(DEPLOYER.key).hex())
    file = tmp_path / "brownie.json"
    environment = {
        "MERITGRID_DEPLOYER_KEY_FILE": str(key),
        "MERITGRID_DEPLOYMENT_FILE": str(file),
        "MERITGRID_DEPLOY_TIME_UNIT_S": "300",
    }
    with start_anvil(free_ports(), timestamp=TEST_EPOCH) as by_brownie, start_anvil(free_ports()) as by_us:
        command = [str(ROOT / "scripts/brownie/brownie"), "run", "deploy", "main", "--network", "meritgrid"]
        environment |= {"MERITGRID_CHAIN_RPC_URL": by_brownie.rpc_url}
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=200
        )
        assert done.returncode == 0, done.stdout + done.stderr
        deployed = read_deployment(file)
        ours = deploy(Web3(Web3.HTTPProvider(by_us.rpc_url)), DEPLOYER, deployed.parameters)
        assert deployed.addresses == ours.addresses
        for name, address in ours.addresses.items():
            codes = {chain.request("eth_getCode", address, "latest") for chain in (by_brownie, by_us)}
            assert len(codes) == 1, name
            assert len(codes.pop()) > 2, name
