"""What must not stand in a log, taken out of its lines: the last line of defence, for libraries and errors that say
more than they should. Nothing of ours logs a secret in the first place."""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "[hidden]"

_NAMES: Final = r"(?:[\w-]*(?:password|passwd|secret|private_?key|api_?key|token)|authorization|enrolment_code|cookie)"
_PATTERNS: Final = tuple(
    (re.compile(pattern, flags), replacement)
    for pattern, flags, replacement in (
        (r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL, HIDDEN),
        (r"\bmg_[A-Za-z0-9_-]{20,}", 0, HIDDEN),  # API keys (market.services.access)
        (r"\b(Bearer|Basic)(\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE, rf"\1\2{HIDDEN}"),
        (r"(\w://[^\s:/@]*):[^\s@/]+@", 0, rf"\1:{HIDDEN}@"),  # the password of a URL
        # A value by its name, in quotes (of JSON within JSON too) or without: password=…, "password": "…".
        (
            rf"""(\b{_NAMES}\\*["']?\s*[:=]\s*)(\\*["'])(?:(?!\2).)*\2""",
            re.IGNORECASE,
            rf"\1\2{HIDDEN}\2",
        ),
        (rf"""(\b{_NAMES}\s*[:=]\s*)(?![\\"'])[^\s,;}}\])]+""", re.IGNORECASE, rf"\1{HIDDEN}"),
        # Enrolment codes: groups of six base32 characters (market.domain.enrolment_code).
        (r"\b(?:[A-Z2-7]{6}-){4,}[A-Z2-7]{1,6}\b", re.IGNORECASE, HIDDEN),
    )
)


def redacted(line: str) -> str:
    """A line without what looks like a secret."""
    for pattern, replacement in _PATTERNS:
        line = pattern.sub(replacement, line)
    return line


def without_secrets(_logger: object, _method: str, line: object) -> str:
    """The last processor of a log: behind the one that renders, where an error's text stands in the line too."""
    return redacted(str(line))
