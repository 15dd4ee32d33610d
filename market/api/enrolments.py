"""Enrolment of gateways."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from market.api.bodies import EnrolmentOfGateway, RenewalOfCertificate
from market.api.context import CurrentMarket
from market.services.enrolment import EnrolmentRequest, RenewalRequest, enrol, renew_certificate

router = APIRouter(tags=["enrolment"])


@router.post("/enrolments")
def enrol_gateway(market: CurrentMarket, body: EnrolmentOfGateway, response: Response) -> dict[str, Any]:
    """Bind a gateway to its nanogrid with a one-time code and a nonce of /v1/auth/nonce; the answer is its
    configuration."""
    response.headers["Cache-Control"] = "no-store"
    return enrol(market, EnrolmentRequest(**body.model_dump()))


@router.post("/enrolments/certificate")
def renew_gateway_certificate(market: CurrentMarket, body: RenewalOfCertificate, response: Response) -> dict[str, Any]:
    """Another certificate for the broker, for a gateway that serves its nanogrid. The present one holds on until its
    end."""
    response.headers["Cache-Control"] = "no-store"
    return renew_certificate(market, RenewalRequest(**body.model_dump()))
