"""The market's HTTP API as a client: what desks and the command line use, like anybody else.

A call is retried while the market is down or answers 429, 502, 503 or 504, and not before its Retry-After; each POST
carries an Idempotency-Key that is derived from its content, so that a retry is harmless.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import httpx
from eth_account import Account
from eth_account.messages import encode_defunct
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_exponential_jitter

Json = dict[str, Any]

_RETRIED_STATUS = frozenset({429, 502, 503, 504})


class MarketProblem(Exception):
    """The market refused a call. Carries the RFC 9457 problem document."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = dict(problem)
        super().__init__(self.describe())

    @property
    def code(self) -> str:
        """Stable code: the last part of the problem's type."""
        return str(self.problem.get("type", "about:blank")).rsplit("/", 1)[-1]

    def describe(self) -> str:
        """One text for people: title, detail and every violation."""
        lines = [f"{self.problem.get('title', 'Problem')} ({self.status}): {self.problem.get('detail', '')}".strip()]
        lines += [
            f"  {error.get('pointer', '')} = {error.get('value')!r}: {error.get('rule', '')}"
            for error in self.problem.get("errors", [])
        ]
        return "\n".join(lines)


class MarketUnavailable(Exception):
    """The market answered 429, 502, 503 or 504 for as long as the call was retried."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"{response.request.url} answered {response.status_code}")
        self.response = response


def _is_passing_fault(error: BaseException) -> bool:
    return isinstance(error, (httpx.TransportError, MarketUnavailable))


_backing_off = wait_exponential_jitter(multiplier=0.1, max=2.0)


def _pause_s(state: RetryCallState) -> float:
    """How long to wait before the next attempt: more and more, and as long as the market asks for [s]."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.response.headers.get("Retry-After", "") if isinstance(error, MarketUnavailable) else ""
    return max(_backing_off(state), float(asked) if asked.isdecimal() else 0.0)


@dataclass
class MarketClient:
    """A signed-in (or anonymous) user of one market.

    `private_key` signs in by SIWE when a call first needs it; `api_key` is used instead where given.
    `patience_s` is how long a call is retried while the market cannot be reached [s].
    """

    base_url: str
    private_key: str | None = None
    api_key: str | None = None
    patience_s: float = 60.0
    timeout_s: float = 30.0
    _http: httpx.Client = field(init=False)
    _token: str | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._http = httpx.Client(base_url=self.base_url, timeout=self.timeout_s)
        self._token = self.api_key

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """The wallet's address.

        Raises:
            ValueError: no key was given.
        """
        if self.private_key is None:
            raise ValueError("this client has no wallet key")
        return str(Account.from_key(self.private_key).address)

    @property
    def token(self) -> str | None:
        """What the calls are authorised with, once signed in."""
        return self._token

    def get(self, path: str, **params: object) -> Json:
        """GET a document. Raises MarketProblem."""
        query = {key: value for key, value in params.items() if value is not None}
        return self._call("GET", path, params=query)

    def items(self, path: str, **params: object) -> Iterator[Json]:
        """Every item of a paginated list."""
        after: object = None
        while True:
            page = self.get(path, after=after, **params)
            yield from page["items"]
            after = page.get("next")
            if after is None:
                return

    def post(self, path: str, body: Mapping[str, Any], idempotency_key: str | None = None) -> Json:
        """POST a document. Raises MarketProblem."""
        content = json.dumps(body, sort_keys=True, separators=(",", ":"))
        key = idempotency_key or hashlib.sha256(f"{path}\n{content}".encode()).hexdigest()
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        return self._call("POST", path, content=content, headers=headers)

    def delete(self, path: str) -> Json:
        return self._call("DELETE", path)

    def sign_in(self) -> None:
        """Sign in by wallet (SIWE, EIP-4361) and keep the session's token."""
        if self.private_key is None:
            return
        challenge = self._send("POST", "/v1/auth/nonce", headers={}, json={})
        message = siwe_text(challenge, self.address)
        signed = Account.sign_message(encode_defunct(text=message), self.private_key)
        answer = self._send(
            "POST", "/v1/auth/siwe", headers={}, json={"message": message, "signature": "0x" + signed.signature.hex()}
        )
        self._token = str(answer["token"])

    def _call(self, method: str, path: str, **request: Any) -> Json:
        if self._token is None and self.private_key is not None:
            self.sign_in()
        try:
            return self._authorised(method, path, **request)
        except MarketProblem as problem:
            if problem.status != 401 or self.private_key is None:
                raise
        self.sign_in()
        return self._authorised(method, path, **request)

    def _authorised(self, method: str, path: str, **request: Any) -> Json:
        headers = dict(request.pop("headers", {}))
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        return self._send(method, path, headers=headers, **request)

    def _send(self, method: str, path: str, *, headers: Mapping[str, str], **request: Any) -> Json:
        attempts = Retrying(
            retry=retry_if_exception(_is_passing_fault),
            stop=stop_after_delay(self.patience_s),
            wait=_pause_s,
            reraise=True,
        )
        for attempt in attempts:
            with attempt:
                response = self._http.request(method, path, headers=dict(headers), **request)
                if response.status_code in _RETRIED_STATUS:
                    raise MarketUnavailable(response)
        return _document(response)


def _document(response: httpx.Response) -> Json:
    content = response.headers.get("content-type", "")
    body: Json = response.json() if "json" in content else {"text": response.text}
    if response.is_error:
        raise MarketProblem(response.status_code, body)
    return body


def siwe_text(challenge: Mapping[str, Any], address: str, valid_for_s: int = 600) -> str:
    """The EIP-4361 text that a wallet signs to answer the market's challenge."""
    issued = datetime.fromisoformat(str(challenge["issued_at"])).astimezone(UTC)
    expires = issued + timedelta(seconds=valid_for_s)
    return (
        f"{challenge['domain']} wants you to sign in with your Ethereum account:\n{address}\n\n"
        f"{challenge['statement']}\n\nURI: {challenge['uri']}\nVersion: 1\nChain ID: {challenge['chain_id']}\n"
        f"Nonce: {challenge['nonce']}\nIssued At: {_zulu(issued)}\nExpiration Time: {_zulu(expires)}"
    )


def _zulu(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
