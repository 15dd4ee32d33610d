"""Why mutants that no test notices are no fault, or do no harm: scripts/mutation/survivors.toml.

An argument names its mutant by what stands in the source, not by its line: it lasts as long as the faulty line does.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from scripts.build_contracts import ROOT
from scripts.mutation.mutants import Mutant

TABLE: Final = Path(__file__).with_name("survivors.toml")
VERDICTS: Final = ("equivalent", "harmless")

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Argument:
    """Why a mutant may survive.

    Attributes:
        source: its path.
        function: where it is.
        fault: the faulty line, the fault in it as ⟦original → replacement⟧.
        verdict: "equivalent": no call can tell it from the original; "harmless": somebody can, but nobody loses.
        why: in a sentence or two.
    """

    source: str
    function: str
    fault: str
    verdict: str
    why: str

    @property
    def key(self) -> Key:
        """Names the mutant."""
        return self.source, self.function, self.fault


def key_of(mutant: Mutant) -> Key:
    """Names a mutant as the table does."""
    return mutant.source, mutant.function, fault_of(mutant)


def fault_of(mutant: Mutant) -> str:
    """The faulty line with the fault marked; of a fault over several lines, what is around it in the first and last."""
    text = _read(mutant.source)
    end = mutant.start + len(mutant.original.encode())
    before = text[text.rfind(b"\n", 0, mutant.start) + 1 : mutant.start].decode()
    line_end = text.find(b"\n", end)
    after = text[end : line_end if line_end >= 0 else len(text)].decode()
    marked = f"{before}⟦{mutant.original} → {mutant.replacement}⟧{after}"
    return " ".join(marked.split())


@cache
def _read(source: str) -> bytes:
    return (ROOT / source).read_bytes()


def read_arguments(table: Path = TABLE) -> dict[Key, Argument]:
    """The table.

    Raises:
        ValueError: an entry lacks a field, has another verdict, gives no reason, or is there twice.
    """
    arguments: dict[Key, Argument] = {}
    for entry in tomllib.loads(table.read_text(encoding="utf-8")).get("survivor", []):
        argument = Argument(**entry)
        if argument.verdict not in VERDICTS or not argument.why.strip() or argument.key in arguments:
            raise ValueError(f"survivors.toml: {entry}: a verdict of {VERDICTS}, a reason, and each there once")
        arguments[argument.key] = argument
    return arguments


def unargued(survived: Iterable[Mutant], arguments: Mapping[Key, Argument]) -> list[str]:
    """Survivors that the table does not name, for people."""
    return [" | ".join(key_of(mutant)) for mutant in survived if key_of(mutant) not in arguments]
