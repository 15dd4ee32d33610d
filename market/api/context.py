"""What every route gets: the market, and who calls."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from market.services.access import NotSignedIn, Principal, Scope, principal_of
from market.services.market import Market

_bearer = HTTPBearer(auto_error=False, description="A session's token (SIWE) or an API key (mg_…)")


def current_market(request: Request) -> Market:
    return cast(Market, request.app.state.market)


CurrentMarket = Annotated[Market, Depends(current_market)]


Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def signed_in(request: Request, market: Market, credentials: HTTPAuthorizationCredentials | None) -> Principal | None:
    """Whose token a call bears, None without one. Raises NotSignedIn, NotAllowed."""
    if credentials is None:
        return None
    with market.sessions() as session:
        principal = principal_of(session, credentials.credentials, market.now_s())
    if request.method == "GET":
        principal.require(Scope.READ)
    return principal


def optional_caller(request: Request, market: CurrentMarket, credentials: Credentials) -> Principal | None:
    """Who calls, None for anybody; a wrong token is refused even where none is needed, and who calls too often."""
    principal = signed_in(request, market, credentials)
    if principal is not None:
        request.app.state.principals.admit(principal.address)
    return principal


OptionalCaller = Annotated[Principal | None, Depends(optional_caller)]


def caller(principal: OptionalCaller) -> Principal:
    if principal is None:
        raise NotSignedIn("Send a session's token or an API key as `Authorization: Bearer …`.")
    return principal


Caller = Annotated[Principal, Depends(caller)]
