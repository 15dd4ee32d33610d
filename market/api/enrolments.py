"""Enrolment of gateways."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from market.api.bodies import EnrolmentOfGateway
from market.api.context import CurrentMarket
from market.services.enrolment import EnrolmentRequest, enrol

router = APIRouter(tags=["enrolment"])


@router.post("/enrolments")
def enrol_gateway(market: CurrentMarket, body: EnrolmentOfGateway, response: Response) -> dict[str, Any]:
    """Bind a gateway to its nanogrid with a one-time code and a nonce of /v1/auth/nonce; the answer is its
    configuration."""
    response.headers["Cache-Control"] = "no-store"
    return enrol(market, EnrolmentRequest(**body.model_dump()))
