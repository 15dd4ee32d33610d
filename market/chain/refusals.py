"""Why a transaction that its contract would take does not get into the chain."""

from __future__ import annotations

from typing import Final

from market.chain.profiles import RpcError
from market.domain.error_texts import ErrorText
from market.domain.errors import Category, ContractRefused, MeritgridError


class NotMinedYet(MeritgridError):
    """A transaction is on its way and has no receipt; asking again waits for the same one."""

    def __init__(self, purpose: str) -> None:
        sentence = f"The chain has not taken the transaction in yet ({purpose}). It is kept and goes on; ask again."
        super().__init__("not-mined-yet", "The chain is slow", sentence, {}, Category.UNAVAILABLE)


class TransactionFailed(MeritgridError):
    """It failed when it was mined, and a later trial does not say why: most often it had too little gas."""

    def __init__(self, purpose: str, block: int, transaction: str) -> None:
        sentence = f"{purpose} failed in block {block} for a reason that a later trial does not show."
        super().__init__("transaction-failed", "The transaction failed", sentence, {"transaction": transaction})


class RefusedByNode(ContractRefused):
    """The node refuses a transaction for good; nothing has changed on the chain, as when its contract refuses it."""

    CODE: Final = "refused-by-node"
    _TEXT: Final = ErrorText(CODE, "The chain's node refuses {purpose} for good: {reason}.", Category.STATE)

    def __init__(self, purpose: str, reason: str) -> None:
        super().__init__("RefusedByNode", self._TEXT, {"purpose": purpose, "reason": reason})


class SenderNotListed(MeritgridError):
    """The chain's nodes take transactions of registered wallets only."""

    _REFUSAL: Final = "non-allow listed address"

    def __init__(self, sender: str) -> None:
        sentence = f"The chain takes no transactions of {sender}: it is not registered, or not on the list yet."
        super().__init__(
            "sender-not-listed", "The sender is not listed", sentence, {"sender": sender}, Category.FORBIDDEN
        )

    @classmethod
    def is_said_by(cls, error: RpcError) -> bool:
        """Whether a node's answer means that."""
        return cls._REFUSAL in error.message
