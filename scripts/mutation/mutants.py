"""Makes mutants of a Solidity source out of the compiler's syntax tree: one small fault each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

SWAPS: Mapping[str, tuple[str, ...]] = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": ("!=",),
    "!=": ("==",),
    "+": ("-",),
    "-": ("+",),
    "*": ("/",),
    "/": ("*",),
    "%": ("*",),
    "**": ("*",),
    "&": ("|",),
    "|": ("&",),
    "^": ("|",),
    "<<": (">>",),
    ">>": ("<<",),
    "&&": ("||",),
    "||": ("&&",),
    "+=": ("-=",),
    "-=": ("+=",),
    "*=": ("/=",),
    "/=": ("*=",),
    "|=": ("&=",),
    "&=": ("|=",),
    "<<=": (">>=",),
    ">>=": ("<<=",),
    "++": ("--",),
    "--": ("++",),
}
RELATIONS = {"<", "<=", ">", ">=", "==", "!="}
YUL_SWAPS = {"add": "sub", "sub": "add", "shl": "shr", "shr": "shl", "mul": "div", "and": "or", "or": "and", "lt": "gt"}
REMOVED_STATEMENTS = {
    "ExpressionStatement": "statement",
    "EmitStatement": "event",
    "RevertStatement": "check",
    "Continue": "jump",
    "Break": "jump",
}
CONDITIONAL = {"IfStatement", "Conditional", "WhileStatement"}


@dataclass(frozen=True)
class Mutant:
    """One fault: `replacement` instead of `original` at byte `start` of the source."""

    source: str
    function: str
    operator: str
    start: int
    line: int
    original: str
    replacement: str
    digest: str

    @property
    def name(self) -> str:
        """The same for the same fault in the same text of the function (modifier, constant), wherever it stands."""
        return f"{self.source}:{self.function}:{self.digest}"

    def applied(self, text: bytes) -> bytes:
        """The source with the fault."""
        end = self.start + len(self.original.encode())
        return text[: self.start] + self.replacement.encode() + text[end:]


@dataclass(frozen=True)
class _Place:
    """A function, modifier or constant."""

    source: str
    text: bytes
    function: str
    begin: int
    end: int

    def mutant(self, operator: str, start: int, end: int, replacement: str) -> Mutant:
        original = self.text[start:end].decode()
        fault = f"{start - self.begin}:{end - self.begin}:{replacement}"
        digest = hashlib.sha256(self.text[self.begin : self.end] + fault.encode()).hexdigest()[:12]
        line = self.text[:start].count(b"\n") + 1
        return Mutant(self.source, self.function, operator, start, line, original, replacement, digest)


def mutants_of(source: str, text: bytes, tree: Mapping[str, Any]) -> list[Mutant]:
    """All mutants of a source, in their order in the text.

    Args:
        source: its path, for the names.
        text: its bytes: the compiler counts places in bytes.
        tree: its syntax tree, as the compiler gives it.
    """
    found = [mutant for node, place in _walk(tree, _Place(source, text, "", 0, 0)) for mutant in _of_node(place, node)]
    return sorted(found, key=lambda mutant: (mutant.start, mutant.operator, mutant.replacement))


def _walk(node: Any, place: _Place) -> Iterator[tuple[Mapping[str, Any], _Place]]:
    if isinstance(node, list):
        for each in node:
            yield from _walk(each, place)
    if not isinstance(node, dict):
        return
    kind = node.get("nodeType")
    if kind in {"FunctionDefinition", "ModifierDefinition"}:
        place = _at(place, node, node.get("name") or node.get("kind", ""))
    elif kind == "VariableDeclaration" and node.get("constant"):
        place = _at(place, node, node["name"])
    elif kind in {"EventDefinition", "ErrorDefinition", "StructDefinition", "ElementaryTypeName", "ArrayTypeName"}:
        return  # a type's text decides nothing here that a test could miss: it would not compile
    if kind and place.function:
        yield node, place
    for value in node.values():
        yield from _walk(value, place)


def _at(place: _Place, node: Mapping[str, Any], name: str) -> _Place:
    begin, end = _span(node)
    return replace(place, function=name, begin=begin, end=end)


def _span(node: Mapping[str, Any]) -> tuple[int, int]:
    start, length, _ = (int(part) for part in node["src"].split(":"))
    return start, start + length


def _of_node(place: _Place, node: Mapping[str, Any]) -> Iterator[Mutant]:
    kind = node["nodeType"]
    start, end = _span(node)
    if kind == "BinaryOperation":
        yield from _swaps(place, node["operator"], _span(node["leftExpression"])[1], node["rightExpression"])
    elif kind == "Assignment" and node["operator"] != "=":
        yield from _swaps(place, node["operator"], _span(node["leftHandSide"])[1], node["rightHandSide"])
    elif kind == "UnaryOperation":
        yield from _of_unary(place, node)
    elif kind in REMOVED_STATEMENTS:
        with_semicolon = end + (place.text[end : end + 1] == b";")
        yield place.mutant(f"{REMOVED_STATEMENTS[kind]} removed", start, with_semicolon, "{}")
    elif kind in CONDITIONAL:
        yield from _negated(place, node["condition"])
    elif kind == "Literal":
        yield from _of_literal(place, node)
    elif kind == "ModifierInvocation" and node.get("kind") == "modifierInvocation":
        yield place.mutant("modifier removed", start, end, "")
    elif kind.startswith("Yul"):
        yield from _of_assembly(place, node)


def _swaps(place: _Place, operator: str, after: int, right: Mapping[str, Any]) -> Iterator[Mutant]:
    before = _span(right)[0]
    start = place.text.find(operator.encode(), after, before)
    for other in SWAPS.get(operator, ()) if start >= 0 else ():
        yield place.mutant("operator", start, start + len(operator), other)


def _of_unary(place: _Place, node: Mapping[str, Any]) -> Iterator[Mutant]:
    start, end = _span(node)
    operator = node["operator"]
    at = start if node["prefix"] else end - len(operator)
    if operator in SWAPS and operator in {"++", "--"}:
        yield place.mutant("operator", at, at + len(operator), SWAPS[operator][0])
    elif operator in {"!", "-", "~"}:
        yield place.mutant("operator removed", at, at + len(operator), "")


def _negated(place: _Place, condition: Mapping[str, Any]) -> Iterator[Mutant]:
    if condition["nodeType"] == "BinaryOperation" and condition["operator"] in RELATIONS:
        return  # swapping the relation negates it already
    if condition["nodeType"] == "UnaryOperation":
        return  # removing the `!` negates it already
    start, end = _span(condition)
    yield place.mutant("condition negated", start, end, f"!({place.text[start:end].decode()})")


def _of_literal(place: _Place, node: Mapping[str, Any]) -> Iterator[Mutant]:
    start, end = _span(node)
    if node["kind"] == "bool":
        yield place.mutant("literal", start, end, "false" if node["value"] == "true" else "true")
    elif node["kind"] == "number" and not node.get("subdenomination"):
        yield from _neighbours(place, node["value"], start, end)


def _neighbours(place: _Place, written: str, start: int, end: int) -> Iterator[Mutant]:
    try:
        value = int(written.replace("_", ""), 0)
    except ValueError:  # a fraction or an exponent
        return
    for other in (value - 1, value + 1):
        if other >= 0:
            yield place.mutant("literal", start, end, str(other))


def _of_assembly(place: _Place, node: Mapping[str, Any]) -> Iterator[Mutant]:
    start, end = _span(node)
    if node["nodeType"] == "YulFunctionCall" and node["functionName"]["name"] in YUL_SWAPS:
        called = node["functionName"]
        yield place.mutant("operator", *_span(called), YUL_SWAPS[called["name"]])
    elif node["nodeType"] == "YulLiteral" and node["kind"] == "number":
        yield from _neighbours(place, node["value"], start, end)
    elif node["nodeType"] in {"YulExpressionStatement", "YulAssignment"}:
        yield place.mutant("statement removed", start, end, "{}")
