"""How each kind of chain is reached and paid: one entry for each profile of the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, cast

from web3 import HTTPProvider, Web3
from web3.exceptions import Web3RPCError
from web3.middleware import ExtraDataToPOAMiddleware
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint

from market.chain.failover import FailoverProvider
from market.plain_words import in_words
from market.settings import ChainProfile, Settings, SettingsError

_RPC_TIMEOUT_S: Final = 30.0
"""Of the only node, for which there is no other to go on to [s]."""
_BATCH: Final = 500
"""Calls that are asked together; Subnet-EVM takes 1,000."""


@dataclass(frozen=True)
class Profile:
    """What differs between chains.

    Attributes:
        extra_data: blocks carry validators' data in extraData, which web3 refuses without its middleware.
        priority_fee_wei: tip per gas; the fee's cap is twice the latest base fee plus it.
        gas_limit: gas of a transaction where it is not estimated, and when the estimate fails (EIP-7825: at most 2^24).
        estimates_gas: ask the node for each transaction's gas; unneeded where a block holds one transaction.
        overrides_time: simulate with the present time, for nodes that make no blocks while nothing happens and would
            simulate with the time of the last one.
        lists_senders: every node refuses who is not on the chain's list of senders; the lists follow the registry.
        single_node: there is one node, so that a head below what was taken in means lost blocks, not a node that lags.
        is_final: a block that any node has shown is never undone; one that does not have it lags.
        receipt_poll_s: first wait between two looks for a receipt; it doubles up to one second. [s]
        resend_after_s: send the same bytes again after so long without a receipt. [s]
        replace_after_s: sign it again with a higher fee after so long without a receipt. [s]
    """

    extra_data: bool
    priority_fee_wei: int
    gas_limit: int
    estimates_gas: bool
    overrides_time: bool
    lists_senders: bool
    single_node: bool
    is_final: bool
    receipt_poll_s: float
    resend_after_s: float
    replace_after_s: float


LARGEST_GAS_LIMIT: Final = 2**24

PROFILES: Final[Mapping[ChainProfile, Profile]] = MappingProxyType(
    {
        ChainProfile.EMBEDDED: Profile(False, 0, LARGEST_GAS_LIMIT, False, False, False, True, False, 0.002, 2.0, 20.0),
        ChainProfile.NETWORK: Profile(True, 1, LARGEST_GAS_LIMIT, True, True, True, False, True, 0.1, 5.0, 30.0),
        ChainProfile.RPC: Profile(True, 10**9, LARGEST_GAS_LIMIT, True, False, False, False, False, 0.2, 10.0, 60.0),
    }
)


def connect(rpc_url: str, profile: Profile) -> Web3:
    """A client of a node, or of several, separated by commas: the first that answers. It opens no connection yet."""
    urls = [url.strip() for url in rpc_url.split(",")]
    only = len(urls) == 1
    web3 = Web3(HTTPProvider(rpc_url, {"timeout": _RPC_TIMEOUT_S}) if only else FailoverProvider(urls))
    if profile.extra_data:
        web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    return web3


def connect_from(settings: Settings) -> Web3:
    """A client of the settings' chain, which must answer and be the chain of the settings.

    Raises:
        SettingsError: nobody answers at `rpc_url`, or it is another chain.
    """
    web3 = connect(settings.rpc_url, PROFILES[settings.chain_profile])
    try:
        chain_id = web3.eth.chain_id
    except (OSError, Web3RPCError) as error:
        reason = f"no chain answers at {settings.rpc_url} ({in_words(error)})"
        raise SettingsError(f"{reason}: start it, or set MERITGRID_RPC_URL to where one is") from error
    if chain_id != settings.chain_id:
        raise SettingsError(f"{settings.rpc_url} is chain {chain_id}, the settings say {settings.chain_id}")
    return web3


class RpcError(Exception):
    """The node answered with an error. `data` is the revert data where there is some."""

    def __init__(self, method: str, error: Mapping[str, Any]) -> None:
        self.code = int(error.get("code", 0))
        self.message = str(error.get("message", error))
        self.data = _revert_data(error.get("data"))
        super().__init__(f"{method}: {self.message}")


def _revert_data(data: Any) -> bytes | None:
    # Nodes give it as hex, or in an object under `data` or `result`.
    if isinstance(data, Mapping):
        data = data.get("data") or data.get("result")
    if isinstance(data, str) and data.startswith("0x"):
        try:
            return bytes.fromhex(data[2:])
        except ValueError:
            return None
    return None


def rpc(web3: Web3, method: str, *parameters: Any) -> Any:
    """One JSON-RPC call without web3's formatting, which costs more than the call itself where answers are long.

    Raises:
        RpcError: the node answered with an error.
        OSError: nobody answered.
    """
    answer = web3.provider.make_request(RPCEndpoint(method), list(parameters))
    if "error" in answer:
        error = answer["error"]
        raise RpcError(method, error if isinstance(error, dict) else {"message": error})
    return answer.get("result")


def rpc_all(web3: Web3, method: str, parameters: Sequence[Sequence[Any]]) -> list[Any]:
    """The results of many calls of one method, asked together.

    Raises:
        RpcError: the node answered one of them with an error.
        OSError: nobody answered.
    """
    results: list[Any] = []
    for first in range(0, len(parameters), _BATCH):
        asked = [(RPCEndpoint(method), list(each)) for each in parameters[first : first + _BATCH]]
        answers: Any = cast(JSONBaseProvider, web3.provider).make_batch_request(asked)
        if not isinstance(answers, list):  # refused as a whole
            raise RpcError(method, answers.get("error", {}))
        for answer in answers:
            if "error" in answer:
                raise RpcError(method, answer["error"])
            results.append(answer["result"])
    return results
