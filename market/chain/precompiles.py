"""What a chain can check by itself, asked of the chain."""

from __future__ import annotations

from typing import Final

from web3 import Web3

from market.chain.profiles import rpc
from market.domain.gateway_key import GatewayKey, KeyKind

P256_PRECOMPILE: Final = "0x0000000000000000000000000000000000000100"
"""EIP-7951, RIP-7212."""
_DIGEST: Final = bytes(range(32))
_KEY: Final = GatewayKey.of((1).to_bytes(32, "big"), KeyKind.P256)


def can_check_p256(web3: Web3) -> bool:
    """Whether signatures of P-256 keys can be checked: a known one is taken for what it is. RpcError, OSError."""
    call = {"to": P256_PRECOMPILE, "data": "0x" + (_DIGEST + _KEY.sign(_DIGEST)).hex()}
    answer: str = rpc(web3, "eth_call", call, "latest")
    return answer == "0x" + (1).to_bytes(32, "big").hex()
