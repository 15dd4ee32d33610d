"""The committed artifacts are what the sources give, and faults are named before anything is written."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.build_contracts import (
    CODE_SIZE_LIMIT_BYTES,
    ROOT,
    Artifact,
    ContractBuildError,
    compile_artifacts,
    differences,
    load_settings,
    write_artifacts,
)

SETTINGS = load_settings(ROOT / "brownie-config.yaml")
HEAD = "// SPDX-License-Identifier: Apache-2.0\npragma solidity 0.8.37;\n"
INTERFACE = HEAD + "interface ICounter { error TooLarge(uint256 n); function count(uint256 n) external; }\n"
CONTRACT = (
    HEAD
    + """
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ICounter} from "./interfaces/ICounter.sol";
contract Counter is ERC20, ICounter {
    constructor() ERC20("Counter", "C") {}
    function count(uint256 n) external { if (n > 9) revert TooLarge(n); _mint(msg.sender, n); }
}
"""
)


def write_project(folder: Path) -> Path:
    (folder / "contracts" / "interfaces").mkdir(parents=True)
    (folder / "contracts" / "interfaces" / "ICounter.sol").write_text(INTERFACE)
    (folder / "contracts" / "Counter.sol").write_text(CONTRACT)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> list[Artifact]:
    return compile_artifacts(write_project(tmp_path_factory.mktemp("project")), SETTINGS)


def build(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.build_contracts", "--project", str(project), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_our_own_contracts_and_interfaces_get_an_artifact_and_openzeppelins_do_not(artifacts: list[Artifact]) -> None:
    assert [artifact.name for artifact in artifacts] == ["Counter", "ICounter"]
    assert artifacts[0].code_size_bytes > 0
    assert artifacts[1].code_size_bytes == 0


def test_errors_of_an_interface_can_be_decoded_from_its_artifact(artifacts: list[Artifact]) -> None:
    interface = artifacts[1]
    assert "TooLarge" in [entry.get("name") for entry in interface.content["abi"] if entry["type"] == "error"]


def test_a_comment_does_not_change_the_bytecode(project: Path, artifacts: list[Artifact]) -> None:
    (project / "contracts" / "Counter.sol").write_text(CONTRACT + "// a remark\n")
    assert compile_artifacts(project, SETTINGS) == artifacts


def test_the_check_names_what_is_changed_missing_and_left_over(tmp_path: Path, artifacts: list[Artifact]) -> None:
    folder = tmp_path
    write_artifacts(artifacts, folder)
    assert differences(artifacts, folder) == []
    changed = json.loads((folder / "Counter.json").read_text())
    changed["bytecode"] += "00"
    (folder / "Counter.json").write_text(json.dumps(changed))
    (folder / "ICounter.json").rename(folder / "IGone.json")
    assert differences(artifacts, folder) == [
        "Counter.json: differs in bytecode",
        "ICounter.json: missing",
        "IGone.json: no source gives it",
    ]


def test_the_command_writes_and_then_finds_nothing_to_tell(project: Path) -> None:
    assert build(project).returncode == 0
    assert build(project, "--check").returncode == 0
    (project / "contracts" / "Counter.sol").write_text(CONTRACT.replace("n > 9", "n > 8"))
    stale = build(project, "--check")
    assert stale.returncode == 1
    assert "Counter.json: differs in bytecode, deployedBytecode" in stale.stdout


def test_a_compiler_error_is_shown_with_its_place(project: Path) -> None:
    (project / "contracts" / "Counter.sol").write_text(CONTRACT.replace("n > 9", "m > 9"))
    with pytest.raises(ContractBuildError, match=r"Undeclared identifier[\s\S]*contracts/Counter\.sol"):
        compile_artifacts(project, SETTINGS)


@pytest.mark.slow
def test_code_over_the_limit_is_refused(project: Path) -> None:
    noise = hashlib.shake_256(b"ballast").hexdigest(24_600)  # what repeats, the optimiser would fold
    ballast = f'contract Large {{ function f() external pure returns (bytes memory) {{ return hex"{noise}"; }} }}'
    (project / "contracts" / "Large.sol").write_text(HEAD + ballast)
    with pytest.raises(ContractBuildError, match=f"Large has .* bytes, more than {CODE_SIZE_LIMIT_BYTES}"):
        compile_artifacts(project, SETTINGS)


def test_two_contracts_of_one_name_are_refused(project: Path) -> None:
    (project / "contracts" / "Other.sol").write_text(HEAD + "contract Counter { function f() external {} }\n")
    with pytest.raises(ContractBuildError, match="Counter is in"):
        compile_artifacts(project, SETTINGS)


def test_forge_compiles_with_the_same_compiler(project: Path, artifacts: list[Artifact]) -> None:
    forge = ROOT / "node_modules" / "@foundry-rs" / "forge-linux-amd64" / "bin" / "forge"
    (project / "foundry.toml").write_text(
        "[profile.default]\nsrc = 'contracts'\nvia_ir = true\noptimizer = true\n"
        f"optimizer_runs = {SETTINGS.optimizer_runs}\n"
        f"evm_version = '{SETTINGS.evm_version}'\nbytecode_hash = 'none'\n"
        f"remappings = ['@openzeppelin/={ROOT}/node_modules/@openzeppelin/']\nallow_paths = ['{ROOT}/node_modules']\n"
    )
    environment = {**os.environ, "FOUNDRY_SOLC": str(SETTINGS.solc_path), "FOUNDRY_OFFLINE": "true"}
    done = subprocess.run(
        [forge, "build"], cwd=project, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    built = json.loads((project / "out" / "Counter.sol" / "Counter.json").read_text())
    assert built["deployedBytecode"]["object"] == artifacts[0].content["deployedBytecode"]
