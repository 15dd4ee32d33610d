"""Renews the gateway's certificate for the broker before it ends; the line goes on, its next connection uses it."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import httpx
import structlog

from gateway_agent.broker_identity import Request, lifetime_of
from gateway_agent.configuration import (
    BROKER_FILE,
    KEY_FILE,
    BadConfiguration,
    Enrolled,
    load_enrolled,
)
from gateway_agent.enrolment import EnrolmentRefused, answer_of
from gateway_agent.identity import UnsafeFile, load_identity
from gateway_agent.metrics import Metrics
from market.backoff import Backoff
from market.domain.gateway_key import GatewayKey
from market.domain.messages import access_request

log = structlog.get_logger(__name__)

RENEWED_AFTER: Final = 2 / 3
"""Of a certificate's life. The last third is time for a market that is away."""
_SPREAD: Final = 0.05
"""Part of the life over which the renewals of gateways that were enrolled together are spread."""
_LOOK_EVERY_S: Final = 3600.0
_FIRST_PAUSE_S: Final = 60.0
_LONGEST_PAUSE_S: Final = 6 * 3600.0


@dataclass(frozen=True)
class Holder:
    """A gateway that is known to the broker by a certificate, in the file of its folder."""

    enrolled: Enrolled
    identity: GatewayKey
    path: Path

    @classmethod
    def of(cls, folder: Path) -> Self:
        """The one of a folder. BadConfiguration: it is not enrolled, or its broker asks for a password; UnsafeFile."""
        enrolled = load_enrolled(folder)
        if enrolled.mqtt.authentication != "certificate":
            raise BadConfiguration(f"the broker of {folder} asks for a password, not for a certificate")
        return cls(enrolled, load_identity(folder / KEY_FILE), folder / BROKER_FILE)

    async def renew(self, client: httpx.AsyncClient) -> datetime:
        """Ask for a certificate of a fresh key and keep both; until when it holds. The market knows the gateway by its
        own key, so that a certificate that has ended or was revoked is renewed too.

        Raises:
            httpx.HTTPError: the market is away. EnrolmentRefused: it refuses. ValueError: its answer cannot be used.
        """
        base, address = self.enrolled.market_url, self.identity.address
        request = Request.new(address)
        nonce = str(answer_of(await client.post(f"{base}/v1/auth/nonce")).get("nonce"))
        signature = self.identity.sign_message(access_request(address, nonce), self.enrolled.settlement)
        body = {
            "gateway": address,
            "nonce": nonce,
            "access_signature": "0x" + signature.hex(),
            "certificate_request": request.pem,
        }
        answer = answer_of(await client.post(f"{base}/v1/enrolments/certificate", json=body))
        return request.keep(self.path, str(answer.get("certificate"))).not_valid_after_utc


@dataclass
class Renewal:
    """Renews for one gateway. part: of the certificate's life after which it is renewed."""

    holder: Holder
    client: httpx.AsyncClient
    metrics: Metrics
    part: float | None = None
    first_pause_s: float = _FIRST_PAUSE_S

    async def run(self) -> None:
        """Until this task is cancelled."""
        part = RENEWED_AFTER - random.uniform(0, _SPREAD) if self.part is None else self.part
        backoff = Backoff(self.first_pause_s, _LONGEST_PAUSE_S)
        while True:
            try:
                due_s = _due_in_s(self.holder.path, part)
                if due_s > 0:
                    await asyncio.sleep(min(due_s, _LOOK_EVERY_S))
                    continue
                end = await self.holder.renew(self.client)
            except (httpx.HTTPError, EnrolmentRefused, UnsafeFile, OSError, ValueError) as problem:
                self.metrics.count("renewals_failed_total")
                why = f"{type(problem).__name__}: {problem}"
                log.warning("certificate not renewed", nanogrid=self.holder.enrolled.nanogrid, problem=why)
                await asyncio.sleep(backoff.next_s())
            else:
                self.metrics.count("certificates_renewed_total")
                log.info("certificate renewed", nanogrid=self.holder.enrolled.nanogrid, end=str(end))
                backoff = Backoff(self.first_pause_s, _LONGEST_PAUSE_S)


def _due_in_s(path: Path, part: float) -> float:
    try:
        start, end = lifetime_of(path)
    except (BadConfiguration, FileNotFoundError) as problem:
        log.error("no certificate: asking for another", path=str(path), problem=str(problem))
        return 0
    return (start + part * (end - start) - datetime.now(UTC)).total_seconds()


async def renew_now(folder: Path) -> str:
    """Renew the certificate of a gateway's folder; until when the new one holds. Raises as `Holder` does."""
    async with httpx.AsyncClient(timeout=30.0) as client:
        return (await Holder.of(folder).renew(client)).isoformat()
