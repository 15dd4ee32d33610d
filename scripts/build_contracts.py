"""Compiles contracts/**/*.sol into contracts/artifacts/<Name>.json, which is committed: running needs no compiler.

The compiler is npm's `solc` of package-lock.json behind scripts/solc, through py-solc-x and standard JSON; its settings
are those of brownie-config.yaml, so that Brownie and these artifacts agree to the byte. Interfaces get an artifact too
(their errors and events must be decodable), libraries only when they have an ABI.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import solcx
import typer
import yaml
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
CODE_SIZE_LIMIT_BYTES = 24_576
"""Largest deployed code, EIP-170. [byte]"""

# What the compiler shall give for each contract, and nothing more: output costs time.
OUTPUT_SELECTION = ["abi", "evm.bytecode.object", "evm.bytecode.linkReferences", "evm.deployedBytecode.object"]

console = Console()


class ContractBuildError(Exception):
    """The contracts do not compile, are too large, share a name or need linking; the text names each of them."""


@dataclass(frozen=True)
class CompilerSettings:
    """What brownie-config.yaml states about the compiler."""

    version: str
    evm_version: str
    via_ir: bool
    optimizer_runs: int
    remappings: tuple[str, ...]

    @property
    def solc_path(self) -> Path:
        """The executable of that version in scripts/solc."""
        return ROOT / "scripts" / "solc" / f"solc-v{self.version}"

    def standard_json(self) -> dict[str, Any]:
        """The `settings` of the standard JSON input that decide the bytecode."""
        return {
            "evmVersion": self.evm_version,
            "metadata": {"bytecodeHash": "none"},
            "optimizer": {"enabled": True, "runs": self.optimizer_runs},
            "viaIR": self.via_ir,
        }


@dataclass(frozen=True)
class Artifact:
    """One compiled contract, as it is written to its file."""

    name: str
    content: Mapping[str, Any]

    @property
    def code_size_bytes(self) -> int:
        """Size of the deployed code; 0 for an interface. [byte]"""
        return (len(self.content["deployedBytecode"]) - len("0x")) // 2

    def text(self) -> str:
        """The file's content, the same for the same sources."""
        return json.dumps(self.content, indent=2) + "\n"


def load_settings(config_path: Path) -> CompilerSettings:
    """Reads the compiler section of brownie-config.yaml."""
    compiler = yaml.safe_load(config_path.read_text(encoding="utf-8"))["compiler"]
    solc = compiler["solc"]
    return CompilerSettings(
        version=str(solc["version"]),
        evm_version=compiler["evm_version"],
        via_ir=solc["viaIR"],
        optimizer_runs=solc["optimizer"]["runs"],
        remappings=tuple(solc["remappings"]),
    )


def read_sources(project: Path) -> dict[str, str]:
    """All Solidity sources below project/contracts, by their path within the project."""
    paths = sorted((project / "contracts").rglob("*.sol"))
    return {path.relative_to(project).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def compile_artifacts(project: Path, settings: CompilerSettings) -> list[Artifact]:
    """Compiles the sources of a project.

    Raises:
        ContractBuildError: no sources, compiler errors, two contracts of one name, code over the limit, or a library
            that would have to be linked.
    """
    sources = read_sources(project)
    if not sources:
        raise ContractBuildError(f"no Solidity sources below {project / 'contracts'}")
    try:
        output = solcx.compile_standard(
            {
                "language": "Solidity",
                "sources": {path: {"content": text} for path, text in sources.items()},
                "settings": {
                    **settings.standard_json(),
                    "remappings": list(settings.remappings),
                    "outputSelection": {path: {"*": OUTPUT_SELECTION} for path in sources},
                },
            },
            solc_binary=settings.solc_path,
            base_path=ROOT,  # of the imports that are not among the sources: node_modules
        )
    except solcx.exceptions.SolcError as error:
        raise ContractBuildError(_compiler_messages(error)) from error
    for warning in output.get("errors", []):
        console.print(warning["formattedMessage"], style="yellow", markup=False, highlight=False)
    artifacts = [
        _artifact(path, name, compiled, settings)
        for path, contracts in output["contracts"].items()
        for name, compiled in contracts.items()
        if compiled["abi"]
    ]
    _refuse_faults(artifacts)
    return sorted(artifacts, key=lambda artifact: artifact.name)


def _artifact(path: str, name: str, compiled: Mapping[str, Any], settings: CompilerSettings) -> Artifact:
    evm = compiled["evm"]
    if evm["bytecode"]["linkReferences"]:
        raise ContractBuildError(f"{name} needs linking: give its library internal functions only")
    content = {
        "contractName": name,
        "sourceName": path,
        "compiler": {"name": "solc", "version": settings.version},
        "settings": settings.standard_json(),
        "abi": compiled["abi"],
        "bytecode": "0x" + evm["bytecode"]["object"],
        "deployedBytecode": "0x" + evm["deployedBytecode"]["object"],
    }
    return Artifact(name, content)


def _compiler_messages(error: solcx.exceptions.SolcError) -> str:
    try:
        messages = json.loads(error.stdout_data or "").get("errors", [])
    except ValueError:  # the compiler itself failed: it says why on its error stream
        return str(error.stderr_data or error)
    return "\n".join(message["formattedMessage"] for message in messages) or str(error.message)


def _refuse_faults(artifacts: Iterable[Artifact]) -> None:
    faults: list[str] = []
    by_name: dict[str, Artifact] = {}
    for artifact in artifacts:
        twin = by_name.setdefault(artifact.name, artifact)
        if twin is not artifact:
            faults.append(f"{artifact.name} is in {twin.content['sourceName']} and {artifact.content['sourceName']}")
        if artifact.code_size_bytes > CODE_SIZE_LIMIT_BYTES:
            faults.append(f"{artifact.name} has {artifact.code_size_bytes} bytes, more than {CODE_SIZE_LIMIT_BYTES}")
    if faults:
        raise ContractBuildError("\n".join(faults))


def differences(artifacts: Iterable[Artifact], folder: Path) -> list[str]:
    """Names what the folder's files have that the sources do not give, one line each; empty when they agree."""
    expected = {f"{artifact.name}.json": artifact.text() for artifact in artifacts}
    found = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.json"))}
    lines = [f"{name}: missing" for name in expected if name not in found]
    lines += [f"{name}: no source gives it" for name in found if name not in expected]
    for name in expected.keys() & found.keys():
        if expected[name] != found[name]:
            lines.append(f"{name}: differs in {', '.join(_differing_keys(expected[name], found[name]))}")
    return sorted(lines)


def _differing_keys(expected: str, found: str) -> list[str]:
    try:
        committed = json.loads(found)
    except ValueError:
        return ["everything: it is no JSON"]
    wanted = json.loads(expected)
    keys = [key for key in wanted if wanted[key] != committed.get(key)]
    keys += [key for key in committed if key not in wanted]
    return keys or ["layout only"]


def write_artifacts(artifacts: Iterable[Artifact], folder: Path) -> None:
    """Writes the files, and removes those that no source gives any more."""
    folder.mkdir(parents=True, exist_ok=True)
    names = set()
    for artifact in artifacts:
        names.add(f"{artifact.name}.json")
        (folder / f"{artifact.name}.json").write_text(artifact.text(), encoding="utf-8")
    for stale in folder.glob("*.json"):
        if stale.name not in names:
            stale.unlink()


def _show_sizes(artifacts: Iterable[Artifact]) -> None:
    table = Table("contract", "bytes", "of the limit", title="Deployed code")
    deployable = [artifact for artifact in artifacts if artifact.code_size_bytes]
    for artifact in sorted(deployable, key=lambda each: -each.code_size_bytes):
        share = artifact.code_size_bytes / CODE_SIZE_LIMIT_BYTES
        table.add_row(artifact.name, f"{artifact.code_size_bytes:,}", f"{share:.0%}")
    console.print(table)


def main(
    check: Annotated[bool, typer.Option(help="Write nothing; exit 1 and name what differs.")] = False,
    project: Annotated[Path, typer.Option(help="Folder that holds contracts/.")] = ROOT,
) -> None:
    """Compile the contracts and write, or check, contracts/artifacts."""
    try:
        with console.status("compiling the contracts"):
            artifacts = compile_artifacts(project.resolve(), load_settings(ROOT / "brownie-config.yaml"))
    except ContractBuildError as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
    folder = project / "contracts" / "artifacts"
    _show_sizes(artifacts)
    if not check:
        write_artifacts(artifacts, folder)
        console.print(f"{len(artifacts)} artifacts in {folder}")
    elif found := differences(artifacts, folder):
        console.print("contracts/artifacts is not what the sources give (make contracts):", style="red")
        for line in found:
            console.print(f"  {line}", style="red", markup=False, highlight=False)
        raise typer.Exit(1)
    else:
        console.print(f"{len(artifacts)} artifacts are what the sources give")


if __name__ == "__main__":
    typer.run(main)
