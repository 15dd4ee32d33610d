"""Writes the contracts as the compiler's standard JSON input, for tools that call the compiler themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from scripts.build_contracts import ROOT, load_settings, read_sources


def syntax_tree_input(project: Path) -> dict[str, Any]:
    """The project's sources with the product's settings; asks for syntax trees and ABIs: 3 s instead of 30."""
    settings = load_settings(ROOT / "brownie-config.yaml")
    return {
        "language": "Solidity",
        "sources": {path: {"content": text} for path, text in read_sources(project).items()},
        "settings": {
            **settings.standard_json(),
            "remappings": list(settings.remappings),
            "outputSelection": {"*": {"*": ["abi"], "": ["ast"]}},
        },
    }


def main(destination: Annotated[Path, typer.Argument(help="File to write.")]) -> None:
    """Write the contracts as standard JSON input."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    destination.write_text(json.dumps(syntax_tree_input(ROOT)), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
