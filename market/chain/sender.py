"""The one transaction sender of a key.

A purpose happens once: its key names the transaction, whoever asks again gets the same one. Signed bytes and nonce are
committed before anything is sent. After a kill at any `SenderPoint`, `recover`, the key's next transaction, or the same
purpose asked again sends exactly these bytes, which a node takes once; a receipt is looked up by the stored hashes.

A call is tried before it gets a nonce, so that a refusal costs nothing and leaves no hole. One that the node never
takes although the contract would (too much gas, too many bytes) gives its nonce to an empty transaction, so that those
behind it go on, and its purpose is free again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from eth_account import Account
from prometheus_client import Counter, Histogram
from sqlalchemy import Engine, Select, select
from sqlalchemy.orm import Session
from web3.contract.contract import ContractFunction

from market import checkpoints
from market.chain import fees
from market.chain.bindings import Contracts, encode_call
from market.chain.profiles import RpcError, rpc
from market.chain.receipts import Receipt, find_receipt, is_success, read_receipt, refusal_of
from market.chain.refusals import NotMinedYet, RefusedByNode, SenderNotListed
from market.checkpoints import SenderPoint
from market.domain.errors import ContractRefused, MeritgridError
from market.store.database import NONCE_LOCK, lock, read_scope, session_scope
from market.store.models import SenderNonce, Transaction, TransactionState

log = structlog.get_logger(__name__)

_SENT = Counter("meritgrid_transactions_total", "Transactions by their end", ["state"])
for _end in ("mined", "failed"):
    _SENT.labels(_end)  # from 0 on, so that the first one shows as an increase
_SECONDS = Histogram("meritgrid_transaction_seconds", "From the signature to the receipt [s]")

_SLOWEST_POLL_S: Final = 1.0
RECEIPT_WITHIN_S: Final = 45.0
"""How long a call waits for a receipt [s]; the transaction goes on by itself."""
_FEE_BUMP: Final = (5, 4)
"""Nodes want at least a tenth more for a replacement."""
_FEE_REFUSALS: Final = ("underpriced", "base fee", "fee too low")
_REFUSALS_FOR_GOOD: Final = (
    "intrinsic gas", "floor data gas", "exceeds block gas limit", "gas limit too high", "oversized data",
)  # fmt: skip
"""What nodes say of a transaction that no waiting mends: too little or too much gas, too many bytes."""
_EMPTY_GAS: Final = 21_000
_FAILED_MARK: Final = "#failed-"
_OPEN: Final = (TransactionState.PREPARED, TransactionState.SENT)


class TransactionSender:
    """Sends the transactions of one key. Several threads and processes may use the same key at once."""

    def __init__(
        self,
        contracts: Contracts,
        engine: Engine,
        private_key: bytes,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now` gives the market's time [epoch s]."""
        self._contracts = contracts
        self._web3 = contracts.web3
        self._profile = contracts.profile
        self._engine = engine
        self._account = Account.from_key(private_key)
        self._now = now
        self._broadcasting = threading.Lock()

    @property
    def address(self) -> str:
        """Address of the key."""
        return str(self._account.address)

    def check(self, function: ContractFunction) -> None:
        """Try a call of this key without sending it.

        Raises:
            MeritgridError: the contract would refuse it now, with the decoded custom error.
        """
        self._contracts.try_raw(str(function.address), encode_call(function), self.address, at_s=int(self._now()))

    def send(self, function: ContractFunction, purpose: str, purpose_key: str, gas_limit: int | None = None) -> Receipt:
        """Have the chain execute a call, and wait for its receipt.

        Args:
            function: the bound call, e.g. `contracts.auction.functions.cancelOffer(offer, signature)`.
            purpose: what it is for, for people, at most 200 characters.
            purpose_key: names the purpose, at most 200 characters. A purpose that was done is not done again: its
                receipt is given. One that failed on the chain did nothing, so it is tried anew.
            gas_limit: of the transaction; None: by the profile.

        Raises:
            MeritgridError: the contract refuses, when tried or when mined; nothing has changed on the chain.
            OSError, RpcError: the chain cannot be reached or used now; the purpose is finished by `recover` or by
                asking again.
        """
        return self.send_all([(function, purpose, purpose_key)], gas_limit)[0]

    def send_all(
        self, calls: Sequence[tuple[ContractFunction, str, str]], gas_limit: int | None = None
    ) -> list[Receipt]:
        """As `send` for several calls that do not need each other: all are sent before the first receipt is awaited.

        `calls` are (function, purpose, purpose key).

        Raises:
            MeritgridError: of the first call that the chain refuses, after all others were sent and awaited.
        """
        ids: list[int | MeritgridError] = []
        for function, purpose, key in calls:
            try:
                ids.append(self._prepared(function, purpose, key, gas_limit))
            except MeritgridError as refusal:
                ids.append(refusal)
        self._broadcast_all([prepared for prepared in ids if isinstance(prepared, int)])
        ends = [self._await(prepared) if isinstance(prepared, int) else prepared for prepared in ids]
        for end in ends:
            if isinstance(end, MeritgridError):
                raise end
        return [end for end in ends if isinstance(end, Receipt)]

    def recover(self) -> list[Receipt]:
        """Finish what an earlier process began: send again what has no receipt, and take the receipts in.

        A transaction that failed on the chain is kept with its error and does not stop the others.
        """
        self._reopen_lost()
        with read_scope(self._engine) as session:
            ids = [row.id for row in session.scalars(self._of_this_key().where(Transaction.state.in_(_OPEN)))]
        self._broadcast_all(ids)
        ends = [self._await(id_) for id_ in ids]
        return [end for end in ends if isinstance(end, Receipt)]

    def finish_abandoned(self) -> None:
        """Look after what nobody waits for any longer: its process may have been killed, and its purpose may never be
        asked again. Sends it once more and takes in the receipts there are, without waiting for any."""
        oldest_s = int(self._now()) - int(RECEIPT_WITHIN_S)
        query = self._of_this_key().where(Transaction.state.in_(_OPEN), Transaction.created_at < oldest_s)
        with read_scope(self._engine) as session:
            abandoned = list(session.scalars(query))
        self._broadcast_all([transaction.id for transaction in abandoned])
        for transaction in map(self._load, [each.id for each in abandoned]):
            raw = self._find_receipt(transaction) if transaction.state in _OPEN else None
            if raw is not None:
                self._finish(transaction, raw)

    # PREPARING

    def _prepared(self, function: ContractFunction, purpose: str, key: str, gas_limit: int | None) -> int:
        """Row of the purpose's transaction: the one there is, or a new one, tried and stored."""
        with read_scope(self._engine) as session:
            known = self._live(session, key)
        if known is not None:
            return known
        to, data = str(function.address), encode_call(function)
        self.check(function)
        gas = gas_limit or fees.gas_limit(self._contracts, self.address, to, data, int(self._now()))
        max_fee_wei = fees.max_fee_wei(self._contracts)
        first_nonce = self._mined_nonces()
        with session_scope(self._engine) as session:
            nonce = self._lock_nonce(session, first_nonce)
            known = self._live(session, key)
            if known is not None:  # another thread or process was quicker
                return known
            _free_key_of_failed(session, key)
            transaction = Transaction(
                sender=self.address,
                chain_id=self._contracts.deployment.chain_id,
                nonce=nonce.next_nonce,
                to=to,
                data=data,
                gas_limit=gas,
                max_fee_wei=max_fee_wei,
                replaced_hashes=[],
                state=TransactionState.PREPARED,
                purpose=purpose,
                purpose_key=key,
                created_at=int(self._now()),
            )
            self._sign(transaction)
            nonce.next_nonce += 1
            session.add(transaction)
            session.flush()
            id_ = transaction.id
        checkpoints.passed(SenderPoint.STORED, purpose)
        return id_

    def _live(self, session: Session, key: str) -> int | None:
        return session.scalar(
            select(Transaction.id).where(Transaction.purpose_key == key, Transaction.state != TransactionState.FAILED)
        )

    def _lock_nonce(self, session: Session, first_nonce: int) -> SenderNonce:
        """The key's row, locked until the transaction of the database ends."""
        identity = (self.address, self._contracts.deployment.chain_id)
        row = session.get(SenderNonce, identity, with_for_update=True)
        if row is None:  # a row that is not there cannot be locked
            lock(session, NONCE_LOCK)
            row = session.get(SenderNonce, identity, with_for_update=True)
        if row is None:
            row = SenderNonce(sender=identity[0], chain_id=identity[1], next_nonce=first_nonce)
            session.add(row)
            session.flush()
        return row

    def _sign(self, transaction: Transaction) -> None:
        signed = self._account.sign_transaction(
            {
                "type": 2,
                "chainId": transaction.chain_id,
                "nonce": transaction.nonce,
                "to": transaction.to,
                "data": transaction.data,
                "value": 0,
                "gas": transaction.gas_limit,
                "maxFeePerGas": transaction.max_fee_wei,
                "maxPriorityFeePerGas": self._tip_wei(transaction),
            }
        )
        transaction.raw = bytes(signed.raw_transaction)
        transaction.hash = "0x" + bytes(signed.hash).hex()

    def _tip_wei(self, transaction: Transaction) -> int:
        """Tip per gas: nodes want a replacement to have more of this too, not only a higher cap."""
        tip_wei = self._profile.priority_fee_wei
        for _ in transaction.replaced_hashes:
            tip_wei = _bumped(tip_wei) if tip_wei else 0
        return min(tip_wei, transaction.max_fee_wei)

    def _mined_nonces(self) -> int:
        return int(rpc(self._web3, "eth_getTransactionCount", self.address, "latest"), 16)

    # SENDING

    def _of_this_key(self) -> Select[Transaction]:
        chain_id = self._contracts.deployment.chain_id
        of_key = select(Transaction).where(Transaction.sender == self.address, Transaction.chain_id == chain_id)
        return of_key.order_by(Transaction.nonce)

    def _load(self, id_: int) -> Transaction:
        with read_scope(self._engine) as session:
            return session.get_one(Transaction, id_)

    def _broadcast_all(self, ids: Sequence[int]) -> None:
        """All of them with one pass: the last one takes the earlier ones with it."""
        unfinished = [transaction for transaction in map(self._load, ids) if transaction.state in _OPEN]
        if unfinished:
            self._broadcast(max(unfinished, key=lambda transaction: transaction.nonce).id)

    def _broadcast(self, id_: int) -> None:
        """Give the stored bytes to the node; those of earlier nonces first, whoever stored them."""
        transaction = self._load(id_)
        if transaction.state not in _OPEN:
            return
        query = self._of_this_key().where(Transaction.state.in_(_OPEN), Transaction.nonce <= transaction.nonce)
        with read_scope(self._engine) as session:
            unsent = list(session.scalars(query))
        with self._broadcasting:
            for each in unsent:
                self._send_raw(each)

    def _send_raw(self, transaction: Transaction, may_sign_again: bool = True) -> None:
        if transaction.state not in _OPEN:
            return
        try:
            rpc(self._web3, "eth_sendRawTransaction", "0x" + transaction.raw.hex())
        except RpcError as error:
            message = error.message.lower()
            spent = "nonce too low" in message
            if spent or any(phrase in message for phrase in _FEE_REFUSALS):
                signed = self._take_new_nonce(transaction) if spent else self._replace(transaction.id)
                if signed and may_sign_again:
                    self._send_raw(self._load(transaction.id), may_sign_again=False)
                return
            if any(phrase in message for phrase in _REFUSALS_FOR_GOOD) and may_sign_again:
                self._give_up(transaction.id, error.message)
                self._send_raw(self._load(transaction.id), may_sign_again=False)
                return
            if SenderNotListed.is_said_by(error):
                raise SenderNotListed(self.address) from error
            if "already" not in message and "known transaction" not in message:
                raise
        checkpoints.passed(SenderPoint.SENT, transaction.purpose)
        with session_scope(self._engine) as session:
            row = session.get_one(Transaction, transaction.id, with_for_update=True)
            if row.state in _OPEN:
                row.state = TransactionState.SENT
                row.attempts += 1
                row.sent_at = row.sent_at or int(self._now())
        checkpoints.passed(SenderPoint.NOTED, transaction.purpose)

    def _give_up(self, id_: int, reason: str) -> None:
        """Fill the nonce of a transaction that the node refuses for good with an empty one."""
        with session_scope(self._engine) as session:
            row = session.get_one(Transaction, id_, with_for_update=True)
            if row.state not in _OPEN or _FAILED_MARK in row.purpose_key:
                return
            log.error("the node refuses a transaction for good", purpose=row.purpose, nonce=row.nonce, reason=reason)
            row.error = _error_document(RefusedByNode(row.purpose, reason))
            row.purpose_key = _key_of_failed(row)
            row.gas_limit = _EMPTY_GAS
            self._empty(row)
        checkpoints.passed(SenderPoint.EMPTIED)

    def _empty(self, row: Transaction) -> None:
        """Nothing but its nonce is left of a transaction."""
        row.to, row.data, row.replaced_hashes = self.address, b"", []
        self._sign(row)

    def _take_new_nonce(self, transaction: Transaction) -> bool:
        """Its nonce is used: by itself, which its receipt will show, or elsewhere: then sign it anew and say so."""
        if self._find_receipt(transaction) is not None:
            return False
        mined = self._mined_nonces()
        with session_scope(self._engine) as session:
            nonce = self._lock_nonce(session, mined)
            row = session.get_one(Transaction, transaction.id, with_for_update=True)
            if row.nonce >= mined or row.state not in _OPEN or self._find_receipt(row) is not None:
                return False
            nonce.next_nonce = max(nonce.next_nonce, mined)
            row.nonce = nonce.next_nonce
            nonce.next_nonce += 1
            row.replaced_hashes = []
            self._sign(row)
            log.warning("the key was used elsewhere; signed again", purpose=row.purpose, nonce=row.nonce)
        checkpoints.passed(SenderPoint.RENUMBERED)
        return True

    def _replace(self, id_: int) -> bool:
        """Sign again with the same nonce and a higher fee, so that it is not stuck behind dearer ones."""
        max_fee_wei = fees.max_fee_wei(self._contracts)
        with session_scope(self._engine) as session:
            row = session.get_one(Transaction, id_, with_for_update=True)
            if row.state not in _OPEN:
                return False
            row.max_fee_wei = max(max_fee_wei, _bumped(row.max_fee_wei))
            row.replaced_hashes = [*row.replaced_hashes, row.hash]
            self._sign(row)
            log.warning("transaction replaced", purpose=row.purpose, nonce=row.nonce, max_fee_wei=row.max_fee_wei)
        checkpoints.passed(SenderPoint.REPLACED)
        return True

    # RECEIPTS

    def _find_receipt(self, transaction: Transaction) -> Mapping[str, Any] | None:
        return find_receipt(self._web3, (transaction.hash, *transaction.replaced_hashes))

    def _await(self, id_: int) -> Receipt | MeritgridError:
        """Its receipt, or why the chain refused it; sends again and replaces as the profile says."""
        started_s = resent_s = replaced_s = time.monotonic()
        poll_s = self._profile.receipt_poll_s
        while True:
            transaction = self._load(id_)
            raw = self._find_receipt(transaction)
            if raw is not None:
                _SECONDS.observe(time.monotonic() - started_s)
                return self._finish(transaction, raw)
            time.sleep(poll_s)
            poll_s = min(2 * poll_s, _SLOWEST_POLL_S)
            now_s = time.monotonic()
            if now_s - started_s > RECEIPT_WITHIN_S:
                return NotMinedYet(transaction.purpose)
            if now_s - replaced_s > self._profile.replace_after_s:
                self._replace(id_)
                replaced_s = now_s
                resent_s = 0.0
            if now_s - resent_s > self._profile.resend_after_s:
                self._reopen_lost()
                self._broadcast(id_)
                resent_s = now_s

    def _reopen_lost(self) -> None:
        """What was mined has a nonce that the chain counts; where it does not, the block is lost: mine it again.

        One that had failed, and whose purpose was tried anew, gives its nonce to an empty transaction.
        """
        if self._profile.is_final:
            return  # none is lost: a node that counts less lags
        mined = self._mined_nonces()
        query = self._of_this_key().where(Transaction.nonce >= mined, Transaction.state.not_in(_OPEN))
        with session_scope(self._engine) as session:
            rows = list(session.scalars(query.with_for_update()))
            # Asked again: another process may have taken in a receipt since.
            mined = self._mined_nonces() if rows else mined
            lost = [row for row in rows if row.nonce >= mined]
            for row in lost:
                log.warning("the chain has lost a transaction", purpose=row.purpose, block=row.receipt_block)
                row.state, row.receipt_block, row.mined_at = TransactionState.SENT, None, None
                if _FAILED_MARK in row.purpose_key:
                    self._empty(row)
        if lost:
            checkpoints.passed(SenderPoint.REOPENED)

    def _finish(self, transaction: Transaction, raw: Mapping[str, Any]) -> Receipt | MeritgridError:
        refusal: MeritgridError | None = None
        given_up = transaction.error or {}
        if given_up.get("code") == RefusedByNode.CODE:  # what was mined is the empty one in its place
            refusal = RefusedByNode(transaction.purpose, str(given_up["arguments"]["reason"]))
        elif not is_success(raw):
            refusal = refusal_of(
                self._contracts, raw, transaction.sender, transaction.to, transaction.data, transaction.purpose
            )
        checkpoints.passed(SenderPoint.MINED, transaction.purpose)
        if transaction.state in _OPEN:
            self._store_end(transaction.id, raw, refusal)
        return refusal or read_receipt(self._contracts, raw)

    def _store_end(self, id_: int, raw: Mapping[str, Any], refusal: MeritgridError | None) -> None:
        with session_scope(self._engine) as session:
            row = session.get_one(Transaction, id_, with_for_update=True)
            row.state = TransactionState.MINED if refusal is None else TransactionState.FAILED
            row.hash = raw["transactionHash"]
            row.receipt_block = int(raw["blockNumber"], 16)
            row.gas_used = int(raw["gasUsed"], 16)
            row.mined_at = int(self._now())
            row.error = None if refusal is None else _error_document(refusal)
        checkpoints.passed(SenderPoint.ENDED)
        _SENT.labels("mined" if refusal is None else "failed").inc()


def _bumped(fee_wei: int) -> int:
    up, down = _FEE_BUMP
    return fee_wei * up // down + 1


def _free_key_of_failed(session: Session, key: str) -> None:
    """A failed transaction keeps its row; its purpose may be tried again under its own key."""
    failed = session.scalar(select(Transaction).where(Transaction.purpose_key == key))
    if failed is not None:
        failed.purpose_key = _key_of_failed(failed)
        session.flush()


def _key_of_failed(row: Transaction) -> str:
    return f"{row.purpose_key[:160]}{_FAILED_MARK}{row.id}"


def _error_document(refusal: MeritgridError) -> dict[str, Any]:
    name = refusal.name if isinstance(refusal, ContractRefused) else refusal.code
    return {"name": name, "code": refusal.code, "sentence": refusal.sentence, "arguments": refusal.fields}
