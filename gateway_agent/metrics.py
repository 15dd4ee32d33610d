"""Counters of the agent in Prometheus' text format, written to a file that a node exporter (or a person) can read.

The gateway's install carries no metrics library: a handful of counters needs none.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

_HELP: Final = {
    "bids_sent_total": "Bids that the market answered, by outcome",
    "boundaries_total": "Interval boundaries handled",
    "certificates_renewed_total": "Certificates for the broker renewed",
    "clocks_wrong_total": "Times at which the clock was found wrong, by its way",
    "connections_total": "Connections to the broker made",
    "dispatches_total": "Dispatches by the state that they reached",
    "driver_errors_total": "Faults of device drivers",
    "messages_outdated_total": "Messages that came later than a newer one and changed nothing, by channel",
    "messages_refused_total": "Messages of the broker that were refused, by reason",
    "offers_declined_total": "Offers that the bidding policy did not answer",
    "readings_refused_total": "Readings that the oracle refused",
    "renewals_failed_total": "Attempts to renew the certificate that failed",
    "readings_signed_total": "Readings signed",
    "readings_implausible_total": "Measurements that were not signed because they cannot be true",
}

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters of one process; a metric without an entry in _HELP is a KeyError."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, Labels]] = Counter()

    def count(self, metric: str, by: int = 1, **labels: str) -> None:
        """Add to a counter."""
        if metric not in _HELP:
            raise KeyError(metric)
        self._counts[metric, tuple(sorted(labels.items()))] += by

    def value(self, metric: str, **labels: str) -> int:
        """Present value of a counter."""
        return self._counts[metric, tuple(sorted(labels.items()))]

    def render(self) -> str:
        """All counters in Prometheus' text format."""
        lines: list[str] = []
        for metric, text in _HELP.items():
            found = sorted((labels, value) for (name, labels), value in self._counts.items() if name == metric)
            if found:
                name = f"meritgrid_gateway_{metric}"
                lines += [f"# HELP {name} {text}", f"# TYPE {name} counter"]
                lines += [f"{name}{_braces(labels)} {value}" for labels, value in found]
        return "\n".join(lines) + "\n" if lines else ""

    def write(self, path: Path) -> None:
        """Write them to a file, wholly or not at all."""
        draft = path.with_name(path.name + ".new")
        draft.write_text(self.render(), encoding="utf-8")
        draft.replace(path)


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}" if labels else ""
