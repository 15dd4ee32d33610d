"""Renews the gateway's certificate for the broker before it ends; the line goes on, its next connection uses it."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import structlog

from gateway_agent.broker_identity import Request, lifetime_of
from gateway_agent.configuration import BadConfiguration
from gateway_agent.identity import UnsafeFile
from gateway_agent.metrics import Metrics
from gateway_agent.parts import Parts
from market.backoff import Backoff

log = structlog.get_logger(__name__)

RENEWED_AFTER: Final = 2 / 3
"""Of a certificate's life. The last third is time for a market that is away."""
_SPREAD: Final = 0.05
"""Part of the life over which the renewals of gateways that were enrolled together are spread."""
_LOOK_EVERY_S: Final = 3600.0
_FIRST_PAUSE_S: Final = 60.0
_LONGEST_PAUSE_S: Final = 6 * 3600.0


class Renewal:
    """Of one gateway. The market knows it by its own key, so that a certificate that has ended is renewed too."""

    def __init__(
        self,
        parts: Parts,
        client: httpx.AsyncClient,
        metrics: Metrics,
        *,
        look_every_s: float = _LOOK_EVERY_S,
        first_pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        self._parts = parts
        self._client = client
        self._metrics = metrics
        self._look_every_s = look_every_s
        self._backoff = Backoff(first_pause_s, _LONGEST_PAUSE_S)
        self._part = RENEWED_AFTER - random.uniform(0, _SPREAD)

    async def run(self) -> None:
        """Until this task is cancelled. Ends at once where the broker asks for no certificate."""
        path = self._parts.broker.certificate_file
        if path is None:
            return
        while True:
            try:
                due_s = self._due_in_s(path)
                if due_s > 0:
                    await asyncio.sleep(min(due_s, self._look_every_s))
                    continue
                await self.renew()
            except (httpx.HTTPError, UnsafeFile, OSError, ValueError) as problem:
                self._metrics.count("renewals_failed_total")
                why, nanogrid = f"{type(problem).__name__}: {problem}", self._parts.enrolled.nanogrid
                log.warning("certificate not renewed", nanogrid=nanogrid, problem=why)
                await asyncio.sleep(self._backoff.next_s())
            else:
                self._backoff = Backoff(self._backoff.first_s, _LONGEST_PAUSE_S)

    def _due_in_s(self, path: Path) -> float:
        try:
            start, end = lifetime_of(path)
        except (BadConfiguration, FileNotFoundError) as problem:
            log.error("no certificate: asking for another", path=str(path), problem=str(problem))
            return 0
        return (start + self._part * (end - start) - datetime.now(UTC)).total_seconds()

    async def renew(self) -> None:
        """Ask for a certificate of a fresh key and keep both.

        Raises:
            httpx.HTTPError: the market is away, or refuses. ValueError: its answer cannot be used.
        """
        parts, path = self._parts, self._parts.broker.certificate_file
        if path is None:
            return
        base = parts.enrolled.market_url
        request = Request.new(parts.signer.gateway)
        nonce = str((await self._post(f"{base}/v1/auth/nonce")).get("nonce"))
        answer = await self._post(
            f"{base}/v1/enrolments/certificate",
            gateway=parts.enrolled.gateway,
            nonce=nonce,
            access_signature=parts.signer.access(nonce),
            certificate_request=request.pem,
        )
        certificate = request.keep(path, str(answer.get("certificate")))
        self._metrics.count("certificates_renewed_total")
        log.info("certificate renewed", nanogrid=parts.enrolled.nanogrid, end=str(certificate.not_valid_after_utc))

    async def _post(self, url: str, **body: Any) -> dict[str, Any]:
        response = await self._client.post(url, json=body or None)
        response.raise_for_status()
        document: dict[str, Any] = response.json()
        return document
