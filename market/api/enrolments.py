"""Enrolment of gateways."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from market.api.bodies import EnrolmentOfGateway
from market.api.context import CurrentMarket
from market.services.enrolment import enrol

router = APIRouter(tags=["enrolment"])


@router.post("/enrolments")
def enrol_gateway(market: CurrentMarket, body: EnrolmentOfGateway, response: Response) -> dict[str, Any]:
    """Bind a gateway to its nanogrid with a one-time code; the answer is the gateway's configuration."""
    response.headers["Cache-Control"] = "no-store"
    return enrol(market, body.nanogrid, body.gateway, body.code_signature, body.gateway_signature)
