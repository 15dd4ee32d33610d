"""Structured logs and the metrics endpoint, the same in every process."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Final

import structlog
import typer
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from market.redaction import without_secrets
from market.settings import LogSettings

TALKATIVE: Final = ("market", "oracle", "gateway_agent", "scripts", "alembic", "uvicorn")
"""Loggers that the level is for: ours, and libraries that say nothing of what passes through them."""


def set_up_logging(log: LogSettings, process: str) -> None:
    """Send structlog's and the libraries' records to standard error, one line each, with the process's name."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # A plain traceback: the default one shows local variables, which may be keys.
    last: structlog.typing.Processor = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    if log.as_json:
        last = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    rendering: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, last]
    rendering.append(without_secrets)
    if log.as_json:
        rendering.insert(1, structlog.processors.format_exc_info)
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=rendering))
    root = logging.getLogger()
    root.handlers[:] = [output]
    level = log.level.upper()
    # Libraries write whole messages and SQL with its values at DEBUG, households' readings among them.
    root.setLevel(max(logging.getLevelNamesMapping()[level], logging.WARNING))
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(level)
    structlog.contextvars.bind_contextvars(process=process)


def logging_as(log: LogSettings, process: str, as_json: bool) -> None:
    """Set logging up as the settings say; `as_json` makes each line JSON whatever they say."""
    set_up_logging(log.model_copy(update={"as_json": log.as_json or as_json}), process)


class ProcessClock(Collector):
    """The time by which a process acts: whoever scrapes it sees by the own clock whether it is wrong."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` gives it [epoch s]."""
        self._now = now

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One gauge."""
        yield GaugeMetricFamily("meritgrid_clock_seconds", "Time by this process's clock [epoch s]", value=self._now())


def metrics_page(*registries: CollectorRegistry) -> tuple[bytes, str]:
    """Body and media type of the process's metrics in Prometheus' text format, with those of further registries."""
    return b"".join(map(generate_latest, (REGISTRY, *registries))), CONTENT_TYPE_LATEST


MetricsPort = Annotated[
    int | None,
    typer.Option(envvar="MERITGRID_METRICS_PORT", help="Port for Prometheus; default: none."),
]
MetricsHost = Annotated[
    str, typer.Option(envvar="MERITGRID_METRICS_HOST", help="Address for Prometheus, which is asked for no password.")
]
LOCALHOST: Final = "127.0.0.1"


def serve_metrics(port: int | None, host: str, now: Callable[[], float]) -> None:
    """Serve the metrics of a process that has no HTTP server of its own; port None: nowhere."""
    if port is not None:
        REGISTRY.register(ProcessClock(now))
        start_http_server(port, addr=host)
