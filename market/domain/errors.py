"""The error tree: every refusal has a stable code, a title, a sentence for people and its fields.

The API serves a code as the last part of an RFC 9457 problem type, the command line prints the sentence, the chain's
custom errors are translated through CONTRACT_ERRORS. The texts are in `error_texts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import Formatter
from types import MappingProxyType
from typing import Any, ClassVar, Final

from market.domain.error_texts import (
    BID_REJECTION_TEXTS,
    CONTRACT_ERRORS,
    LIBRARY_ERRORS,
    SKIP_TEXTS,
    BidRejection,
    Category,
    ErrorText,
    Skip,
    kebab_case,
)

__all__ = [
    "BID_REJECTIONS",
    "CONTRACT_ERRORS",
    "CONTRACT_EXCEPTIONS",
    "LIBRARY_ERRORS",
    "SKIPS",
    "BadSignature",
    "BidRefused",
    "BidRejection",
    "Category",
    "ClaimRefused",
    "ContractRefused",
    "ErrorText",
    "InvalidTransition",
    "MeritgridError",
    "Skip",
    "ValidationFailed",
    "Violation",
    "bid_refused",
    "contract_error",
    "fill",
]

BID_REJECTIONS: Final[Mapping[BidRejection, ErrorText]] = MappingProxyType(BID_REJECTION_TEXTS)
"""Why the contract skips a bid of a batch."""
SKIPS: Final[Mapping[Skip, ErrorText]] = MappingProxyType(SKIP_TEXTS)
"""Why the contract skips an award at settlement."""


def _shown(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


def fill(template: str, fields: Mapping[str, Any]) -> str:
    """The sentence of a template; a field that is not there shows as its name in braces."""
    names = {name for _, name, _, _ in Formatter().parse(template) if name}
    return template.format(**{name: _shown(fields[name]) if name in fields else f"{{{name}}}" for name in names})


class MeritgridError(Exception):
    """Base of all refusals.

    code: stable, in kebab-case; title: short, the same for every occurrence; sentence: what happened this time;
    category: which kind of refusal (the API derives the HTTP status from it); fields: the values it is about.
    """

    def __init__(
        self,
        code: str,
        title: str,
        sentence: str,
        fields: Mapping[str, Any] | None = None,
        category: Category = Category.INVALID,
    ) -> None:
        super().__init__(sentence)
        self.code = code
        self.title = title
        self.sentence = sentence
        self.fields: dict[str, Any] = dict(fields or {})
        self.category = category

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Single problems behind it, for the list `errors` of a problem document."""
        return ()


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule: JSON pointer to the value, the value, the rule that it breaks."""

    pointer: str
    value: Any
    rule: str

    def __str__(self) -> str:
        return f"{self.pointer} = {_shown(self.value)}: {self.rule}"


class ValidationFailed(MeritgridError):
    """Input that breaks rules; carries every violation at once."""

    def __init__(self, violations: Iterable[Violation]) -> None:
        self._violations = tuple(violations)
        sentence = "; ".join(map(str, self._violations)) or "The input is not valid."
        super().__init__("validation-failed", "The input is not valid", sentence)

    @property
    def violations(self) -> tuple[Violation, ...]:
        return self._violations


class BadSignature(MeritgridError):
    """A signature that is malformed, malleable, or not by whom it should be."""

    def __init__(self, sentence: str, **fields: Any) -> None:
        super().__init__("bad-signature", "The signature is not valid", sentence, fields)


class InvalidTransition(MeritgridError):
    """A change of state that the state machine does not allow."""

    def __init__(self, machine: str, state: str, to: str) -> None:
        sentence = f"A change of {machine} from {state} to {to} is not possible."
        fields = {"machine": machine, "state": state, "to": to}
        super().__init__(
            "invalid-transition", "The change of state is not possible", sentence, fields, Category.CONFLICT
        )


class ContractRefused(MeritgridError):
    """A contract refused a call. name: of its custom error; fields: the error's arguments by name.

    Each custom error has an exception of its own name below this one (CONTRACT_EXCEPTIONS), and its TEXT.
    """

    TEXT: ClassVar[ErrorText]

    def __init__(self, name: str, text: ErrorText, arguments: Mapping[str, Any]) -> None:
        super().__init__(text.code, text.title, fill(text.sentence, arguments), arguments, text.category)
        self.name = name


class ClaimRefused(ContractRefused):
    """A clearing claim that the check refuses: FalseClaim with its rule, or a claim of the wrong shape."""

    def __init__(self, name: str, **arguments: int) -> None:
        super().__init__(name, CONTRACT_ERRORS[name], arguments)

    @property
    def rule(self) -> int | None:
        """Number of the broken rule of docs/protocol.md; None where the claim's shape is wrong."""
        rule = self.fields.get("rule")
        return int(rule) if rule is not None else None


CONTRACT_EXCEPTIONS: Final[Mapping[str, type[ContractRefused]]] = MappingProxyType(
    {
        name: type(name, (ContractRefused,), {"TEXT": text, "__doc__": text.sentence, "__module__": __name__})
        for table in (CONTRACT_ERRORS, LIBRARY_ERRORS)
        for name, text in table.items()
    }
)
"""Custom error -> the exception that it is raised as: `except CONTRACT_EXCEPTIONS["GateClosed"]`."""


class BidRefused(MeritgridError):
    """A bid that the contract would skip. reason: the contract's BidRejection."""

    def __init__(self, reason: BidRejection, sentence: str, fields: Mapping[str, Any]) -> None:
        text = BID_REJECTION_TEXTS[reason]
        super().__init__(text.code, text.title, sentence, fields, text.category)
        self.reason = reason


def contract_error(name: str, arguments: Mapping[str, Any]) -> ContractRefused:
    """The error of a contract's custom error and its arguments by name; an unknown one keeps its name as its code."""
    exception = CONTRACT_EXCEPTIONS.get(name)
    if exception is not None:
        return exception(name, exception.TEXT, arguments)
    shown = ", ".join(f"{key}={_shown(value)}" for key, value in arguments.items())
    sentence = f"The contract refused with {name}({shown}).".replace("{", "{{").replace("}", "}}")
    return ContractRefused(name, ErrorText(kebab_case(name), sentence), arguments)


def bid_refused(reason: BidRejection, **fields: Any) -> BidRefused:
    """The refusal of a bid for one of the contract's reasons."""
    return BidRefused(reason, fill(BID_REJECTION_TEXTS[reason].sentence, fields), fields)
