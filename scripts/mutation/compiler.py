"""The contracts' compiler, kept loaded: bytecode with and without a fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from scripts.build_contracts import CompilerSettings, load_settings
from scripts.mutation.errors import BaselineFails
from scripts.mutation.lines import LineProcess

OUTPUTS = ["evm.bytecode.object", "evm.deployedBytecode.object"]
SOURCE_NOT_FOUND = "6275"
Bytecodes = Mapping[str, tuple[str, str]]
"""Of each unit: its creation code and its code, without metadata's hash."""


@dataclass(frozen=True)
class Compiler:
    """A compiler's process, for one tree of sources."""

    root: Path
    settings: CompilerSettings
    process: LineProcess

    @classmethod
    def start(cls, root: Path) -> Self:
        """Starts it; it ends with its input."""
        settings = load_settings(root / "brownie-config.yaml")
        command = [str(settings.solc_path), "--serve", "--base-path", str(root)]
        return cls(root, settings, LineProcess(command, root))

    def compile(self, units: Sequence[str], replaced: Mapping[str, str]) -> Bytecodes | None:
        """The units' bytecode, with other text in the place of some sources; None where they do not compile.

        Raises:
            BaselineFails: a source is not there, whatever the text.
        """
        texts = {unit: (self.root / unit).read_text(encoding="utf-8") for unit in units} | dict(replaced)
        output = self.process.ask(
            {
                "language": "Solidity",
                "sources": {path: {"content": text} for path, text in texts.items()},
                "settings": {
                    **self.settings.standard_json(),
                    "remappings": list(self.settings.remappings),
                    "outputSelection": {unit: {Path(unit).stem: OUTPUTS} for unit in units},
                },
            }
        )
        errors = [error for error in output.get("errors", []) if error["severity"] == "error"]
        if missing := [error["message"] for error in errors if error.get("errorCode") == SOURCE_NOT_FOUND]:
            raise BaselineFails(f"no fault takes a source away: {missing[0]}")
        if errors:
            return None
        codes = {unit: output["contracts"][unit][Path(unit).stem]["evm"] for unit in units}
        return {unit: (code["bytecode"]["object"], code["deployedBytecode"]["object"]) for unit, code in codes.items()}
