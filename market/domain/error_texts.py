"""The texts of all errors: code, category and sentence of each custom error, bid rejection and skip.

Sentences name the arguments of the Solidity error in braces. A test compares the tables with contracts/interfaces.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Category(StrEnum):
    """Kind of a refusal; the API derives the HTTP status from it."""

    INVALID = "invalid"
    """The input itself is wrong (422)."""
    FORBIDDEN = "forbidden"
    """The signer or caller may not do this (403)."""
    NOT_FOUND = "not-found"
    """What it names does not exist (404)."""
    CONFLICT = "conflict"
    """It contradicts what has happened already (409)."""
    STATE = "state"
    """Too early, too late, or not in this phase or state (409)."""
    UNAVAILABLE = "unavailable"
    """It cannot be done now; asking again later is harmless (503)."""
    UNAFFORDABLE = "unaffordable"
    """Money, bond or cover do not reach (402 or 409)."""


@dataclass(frozen=True, slots=True)
class ErrorText:
    """Stable code (kebab-case), sentence with the arguments' names in braces, and category."""

    code: str
    sentence: str
    category: Category = Category.INVALID

    @property
    def title(self) -> str:
        """Short title, the same for every occurrence."""
        return self.code.replace("-", " ").capitalize()


def kebab_case(name: str) -> str:
    """Code of a custom error: FalseClaim -> false-claim."""
    return _HUMP.sub("-", name).lower()


class BidRejection(IntEnum):
    """Why the contract skipped a bid of a batch (codes of IMeritOrderAuction)."""

    NONE = 0
    BAD_SIGNATURE = 1
    SEAT_NOT_ACTIVE = 2
    PRICE_OUT_OF_RANGE = 3
    PRICE_BEYOND_LIMIT = 4
    QUANTITY_OUT_OF_RANGE = 5
    MINIMUM_ABOVE_QUANTITY = 6
    BEYOND_COVER = 7
    DELEGATE_EXPIRED = 8
    PRICE_BELOW_DELEGATE_LIMIT = 9
    WRONG_REVISION = 10
    ALREADY_SOLD = 11
    OWNER_SIGNATURE_REQUIRED = 12


class Skip(IntEnum):
    """Why the contract skipped an award at settlement (codes of ISettlement)."""

    NONE = 0
    ALREADY_SETTLED = 1
    ON_HOLD = 2
    BAD_SIGNATURE = 3
    NOT_ANNOUNCED = 4
    HOLD_WINDOW_OPEN = 5
    ANNULLED_READING = 6
    REPLACED_BY_COMMAND = 7
    DEADLINE_NOT_REACHED = 8


_I, _F, _N = Category.INVALID, Category.FORBIDDEN, Category.NOT_FOUND
_C, _S, _U = Category.CONFLICT, Category.STATE, Category.UNAFFORDABLE


def _table(texts: dict[str, tuple[Category, str]]) -> Mapping[str, ErrorText]:
    return MappingProxyType(
        {name: ErrorText(kebab_case(name), sentence, category) for name, (category, sentence) in texts.items()}
    )


CONTRACT_ERRORS: Final = _table(
    {
        "NodeExists": (_C, "Node {node} is registered already."),
        "UnknownNode": (_N, "There is no node {node}."),
        "PortfolioExists": (_C, "Portfolio {portfolio} is registered already."),
        "UnknownPortfolio": (_N, "There is no portfolio {portfolio}."),
        "PortfolioFull": (_C, "Portfolio {portfolio} has no free index for another nanogrid."),
        "UnknownSeat": (_N, "There is no nanogrid {nanogrid}."),
        "SeatAlreadyClosed": (_C, "Nanogrid {nanogrid} is closed from {activeUntil} on already."),
        "ZeroAddress": (_I, "An address must not be zero."),
        "RoleMissing": (_F, "The account {account} lacks the role {role}."),
        "NotSeatOwner": (_F, "{signer} is not the owner of nanogrid {nanogrid}."),
        "StaleNonce": (_C, "The nonce {given} is used up; the next one is {expected}."),
        "NoTransferAnnounced": (_N, "No change of the owner of nanogrid {nanogrid} is announced."),
        "TransferNotPossibleYet": (
            _C,
            "Nanogrid {nanogrid} can be given to its new owner from {possibleFrom} on, unless the owner objects.",
        ),
        "LimitsTooWide": (
            _I,
            (
                "A cover of {coverCents} cents for nanogrid {nanogrid} is more than the "
                "{allowedCents} cents that its bond allows."
            ),
        ),
        "PriceLimitOutOfRange": (
            _I,
            "A lowest price of {lowestPriceUeurKwh} micro-euro per kWh is more than any bid can name ({nanogrid}).",
        ),
        "IntervalNotInFuture": (_I, "The interval {interval} has begun already."),
        "OnlySettlement": (_F, "{caller} is not the Settlement contract."),
        "NotDsoOfNode": (_F, "{signer} is not the DSO of node {node}."),
        "NotAnInterval": (_I, "{interval} is not the start of an interval."),
        "InvalidPhase": (_I, "{phase} is no phase (0 GREEN, 1 YELLOW, 2 RED)."),
        "InvalidKind": (_I, "{kind} is no kind (0 FORECAST or ACTIVE, 1 ACTUAL or REACTIVE)."),
        "InvalidProduct": (_I, "Product {product} cannot be used here."),
        "StaleSequence": (_C, "The sequence {given} is not above the last one, {last}."),
        "VerdictTooLate": (_S, "Verdicts on offer {offer} were possible until {deadline}."),
        "VerdictTooLong": (
            _I,
            "A verdict on offer {offer} has {longest} bytes at most, which hold all its posts, not {length}.",
        ),
        "VerdictAlreadyGiven": (_C, "The verdict on offer {offer} has been given already."),
        "OfferNotCleared": (_S, "Offer {offer} is not cleared."),
        "NodeNotRed": (_S, "Node {node} is not RED in interval {interval}."),
        "CommandExists": (_C, "Nanogrid {nanogrid} has a command for interval {interval} already."),
        "CommandTooLate": (_S, "The interval {interval} of nanogrid {nanogrid} is over."),
        "SeatNotActive": (_S, "Nanogrid {nanogrid} is not active in interval {interval}."),
        "RedIsFinal": (_S, "The RED of node {node} for interval {interval} can no longer be taken back."),
        "ValidationExists": (_C, "Node {node}'s DSO has answered the TSO's request {request} already."),
        "NoMonths": (_I, "A capacity contract lasts at least one month."),
        "EmptyQuantity": (_I, "The quantity must be at least 1."),
        "MonthAlreadyBegun": (_S, "Month {month} has begun already."),
        "MonthNotOver": (_S, "Month {month} is not over."),
        "MonthNotInContract": (_I, "Month {month} is not in the capacity contract {id}."),
        "ContractExists": (_C, "The capacity contract {id} is registered already."),
        "UnknownContract": (_N, "There is no capacity contract {id}."),
        "AlreadyPaid": (_C, "Month {month} of the capacity contract {id} is paid or forfeited already."),
        "AlreadyReserved": (_C, "Nanogrid {nanogrid} is reserved for product {product} in month {month} already."),
        "NotAggregatorOfPortfolio": (_F, "{signer} is not the aggregator of portfolio {portfolio}."),
        "NodeNotYellow": (_S, "Node {node} is not YELLOW in interval {interval} (phase {phase})."),
        "NodeIsRed": (_S, "Node {node} is RED in interval {interval}: its auctions stand still."),
        "Paused": (_S, "The market at node {node} is paused for product {product}."),
        "InvalidSide": (_I, "{side} is no side (0 BUY, 1 SELL)."),
        "InvalidDirection": (_I, "{direction} is no direction (0 UP, 1 DOWN)."),
        "SellNeedsInternal": (_I, "Only INTERNAL offers can be on the SELL side."),
        "PriceOutOfRange": (_I, "The price {priceUeurKwh} is not between 1 and 536870911 micro-euro per kWh."),
        "LimitAboveRequest": (
            _I,
            (
                "The limit price {limitPriceUeurKwh} is above the request's price "
                "{requestPriceUeurKwh} (micro-euro per kWh)."
            ),
        ),
        "RequestExists": (_C, "The request {request} is published already."),
        "UnknownRequest": (_N, "There is no request {request}."),
        "RequestMismatch": (_I, "Node, interval, product or direction are not those of the request {request}."),
        "RequestTooLate": (_S, "It is too late for a request for interval {interval}."),
        "QuantityBeyondRequest": (
            _C,
            "The quantity {quantity} is more than the {available} that is free in the request.",
        ),
        "QuantityBeyondPortfolio": (
            _I,
            "The quantity {quantity} is more than the {rated} that the portfolio's nanogrids are rated for.",
        ),
        "BaselineNotAnchored": (
            _S,
            "The baselines of portfolio {portfolio} for interval {interval} (kind {kind}) are not anchored.",
        ),
        "BaselineAnchoredTooLate": (
            _S,
            (
                "The baselines of portfolio {portfolio} for interval {interval} were anchored at "
                "{anchoredAt}, not before {knownSince}."
            ),
        ),
        "ClosureTooEarly": (_I, "The gate closure {gateClosure} is before {earliest}, the earliest possible."),
        "ClosureTooLate": (_I, "The gate closure {gateClosure} is after {latest}, the latest possible."),
        "OfferExists": (_C, "The offer {offer} is open already."),
        "OfferPending": (
            _C,
            "Portfolio {portfolio} has the offer {offer} for interval {interval} (kind {kind}), which is not final.",
        ),
        "UnknownOffer": (_N, "There is no offer {offer}."),
        "WrongStatus": (_S, "The offer {offer} has the status {status}, which does not allow this."),
        "OfferHasBids": (_C, "The offer {offer} has {bidCount} bids and cannot be cancelled."),
        "GateClosed": (_S, "The gate of offer {offer} closed at {gateClosure}."),
        "GateOpen": (_S, "The gate of offer {offer} is open until {gateClosure}."),
        "MalformedBids": (_I, "{length} bytes are no whole number of bids of 76 bytes."),
        "MalformedRecords": (_I, "{length} bytes are no whole number of records of 12 bytes."),
        "TooManyPassedOver": (_I, "A claim names at most 16 bids passed over, not {count}."),
        "PassedOverNotSorted": (_I, "The ranks passed over are not strictly increasing at place {place}."),
        "WrongProgress": (_C, "The progress is not where the clearing of offer {offer} stands under this claim."),
        "WrongRecords": (_C, "The records do not give the chain of offer {offer}: {given} instead of {expected}."),
        "WrongRejected": (_C, "The rejected bitmap is not that of the verdict on offer {offer}."),
        "FalseClaim": (_I, "The claim breaks rule {rule} of the merit order."),
        "ClearTooLate": (_S, "The offer {offer} could be cleared until {deadline}."),
        "NotFinalYet": (_S, "The result of offer {offer} can be made final from {finalAt} on."),
        "WrongAwards": (_C, "The awards do not give the root of offer {offer}: {given} instead of {expected}."),
        "NotExpirable": (_S, "The offer {offer} cannot expire now."),
        "NothingToReclaim": (_C, "Nothing is left to reclaim of request {request} for interval {interval}."),
        "RequestStillOpen": (_S, "The request {request} can still be answered for interval {interval}."),
        "AlreadyAnchored": (
            _C,
            "The baselines of portfolio {portfolio} for interval {interval} (kind {kind}) are anchored already.",
        ),
        "AnchoredTooLate": (_S, "The baselines of interval {interval} could be anchored until {deadline}."),
        "NotOracle": (_F, "{caller} is not the oracle."),
        "BadReadingSignature": (
            _I,
            "The reading of nanogrid {nanogrid} for interval {interval} is not signed by its gateway.",
        ),
        "ReadingAlreadyAnnounced": (
            _C,
            "A reading of nanogrid {nanogrid} for interval {interval} is announced already.",
        ),
        "AnnouncedTooLate": (_S, "The deadline for readings of nanogrid {nanogrid} for interval {interval} is over."),
        "IntervalNotOver": (_S, "The interval {interval} is not over."),
        "ReadingsAgree": (_I, "The two readings of nanogrid {nanogrid} for interval {interval} do not differ."),
        "ReadingsOfDifferentIntervals": (_I, "The two readings are not of the same nanogrid and interval."),
        "OfferTooEarly": (_S, "An offer for interval {interval} can be opened from {earliest} on."),
        "OnlyAuction": (_F, "{caller} is not the MeritOrderAuction contract."),
        "OnlyModule": (_F, "{caller} is not a contract that may call this."),
        "InsufficientBalance": (_U, "The account {account} has {balanceUeur} micro-euro and needs {neededUeur}."),
        "InsufficientBond": (_U, "The bond of nanogrid {nanogrid} is {bondUeur} micro-euro; {neededUeur} are needed."),
        "AccountInDebt": (_U, "The account {account} owes {debtUeur} micro-euro."),
        "NotAccount": (_F, "{signer} is not the account {account}."),
        "EnrolmentUnknown": (_N, "Nanogrid {nanogrid} has no enrolment open for the code {code}."),
        "EnrolmentExpired": (_S, "The enrolment of nanogrid {nanogrid} expired at {expiredAt}."),
        "GatewayInUse": (_C, "The gateway {gateway} serves nanogrid {nanogrid} already."),
        "OfferNotFinal": (_S, "The result of offer {offer} is not final."),
        "WrongBinding": (
            _S,
            "The given terms, parties or roots are not those with which offer {offer} became final: ask bindingOf.",
        ),
        "WrongAwardProof": (_I, "The awards from leaf {firstLeaf} on are not those of offer {offer}."),
        "WrongBaselines": (_I, "The baselines are not those anchored for offer {offer}, or the nanogrid has none."),
        "MalformedAwards": (_I, "{length} bytes are no whole number of award records."),
        "MalformedReadings": (_I, "{length} bytes are no whole number of signed readings."),
        "AwardNotGiven": (_I, "Award {ordinal} of offer {offer} is not among the awards given."),
        "NothingToWithdraw": (_C, "There is nothing to withdraw."),
        "UnbondingPending": (_S, "The bond of nanogrid {nanogrid} is released at {availableAt}."),
        "NotHoldParty": (_F, "{signer} is not the aggregator, the DSO or the verifier of offer {offer}."),
        "HoldExists": (_C, "Award {ordinal} of offer {offer} has been put on hold already."),
        "UnknownHold": (_N, "Award {ordinal} of offer {offer} is not on hold."),
        "HoldTermOver": (_S, "The term to decide on the hold of award {ordinal} of offer {offer} is over."),
        "HoldTermRunning": (_S, "The hold of award {ordinal} of offer {offer} can be decided until {decideBy}."),
        "NotReferee": (_F, "{caller} is not the referee."),
        "AlreadySettled": (_C, "Award {ordinal} of offer {offer} is settled already."),
        "UnknownCommand": (_N, "Nanogrid {nanogrid} has no command for interval {interval}."),
        "CommandAlreadySettled": (_C, "The command to nanogrid {nanogrid} for interval {interval} is settled already."),
        "CommandNotSettleable": (
            _S,
            "The command to nanogrid {nanogrid} for interval {interval} cannot settle: {reason}.",
        ),
        "ReplacedAwardMissing": (
            _I,
            "The award that the command to nanogrid {nanogrid} for interval {interval} replaced is not given.",
        ),
        "DeadlineNotReached": (_S, "This is possible from {deadline} on."),
        "NotOperator": (_F, "{caller} is not the operator."),
    }
)
"""Custom error of our interfaces -> its text."""

LIBRARY_ERRORS: Final = _table(
    {
        "AccessControlUnauthorizedAccount": (_F, "The account {account} lacks the role {neededRole}."),
        "AccessControlBadConfirmation": (_F, "A role can be renounced only by its own account."),
        "AccessControlEnforcedDefaultAdminDelay": (
            _S,
            "The change of the governance key is possible from {schedule} on.",
        ),
        "AccessControlEnforcedDefaultAdminRules": (_F, "The governance role changes only in two steps."),
        "AccessControlInvalidDefaultAdmin": (_I, "{defaultAdmin} cannot be the governance key."),
        "ECDSAInvalidSignature": (_I, "No address can be recovered from the signature."),
        "ECDSAInvalidSignatureLength": (_I, "A signature cannot have {length} bytes."),
        "ECDSAInvalidSignatureS": (_I, "The signature is malleable: its s must be the low one."),
        "ERC20InsufficientAllowance": (
            _U,
            "{spender} may spend {allowance} micro-euro of the account and needs {needed}.",
        ),
        "ERC20InsufficientBalance": (_U, "The account {sender} holds {balance} micro-euro and needs {needed}."),
        "ERC20InvalidReceiver": (_I, "{receiver} cannot receive tokens."),
        "ERC20InvalidSender": (_I, "{sender} cannot send tokens."),
        "ERC20InvalidApprover": (_I, "{approver} cannot approve a spender."),
        "ERC20InvalidSpender": (_I, "{spender} cannot be a spender."),
        "ERC2612ExpiredSignature": (_S, "The permit expired at {deadline}."),
        "ERC2612InvalidSigner": (_F, "The permit is signed by {signer}, not by {owner}."),
        "MissingPrecompile": (
            _S,
            "The chain cannot check signatures of P-256 keys: it has no precompile for them (EIP-7951).",
        ),
        "InvalidAccountNonce": (_C, "The nonce of account {account} is {currentNonce}."),
        "SafeERC20FailedOperation": (_U, "The transfer of the token {token} failed."),
        "ReentrancyGuardReentrantCall": (_C, "The contract is in the middle of another call."),
        "SafeCastOverflowedUintDowncast": (_I, "The value {value} does not fit {bits} bits."),
        "InvalidShortString": (_I, "The name or version of the contract's signatures is malformed."),
        "StringTooLong": (_I, "The name or version of the contract's signatures is too long: {str}."),
    }
)
"""Custom errors of OpenZeppelin's parts that our contracts let through."""

BID_REJECTION_TEXTS: Final = {
    BidRejection.BAD_SIGNATURE: ErrorText(
        "bad-signature",
        "The bid is not signed by the nanogrid's owner or delegate for this offer, chain and contract.",
        _I,
    ),
    BidRejection.SEAT_NOT_ACTIVE: ErrorText(
        "seat-not-active", "The nanogrid is not an active one of the offer's portfolio, or it is suspended.", _F
    ),
    BidRejection.PRICE_OUT_OF_RANGE: ErrorText(
        "price-out-of-range", "The price is not between 1 and 536870911 micro-euro per kWh.", _I
    ),
    BidRejection.PRICE_BEYOND_LIMIT: ErrorText(
        "price-beyond-limit", "The price is beyond the offer's limit price.", _I
    ),
    BidRejection.QUANTITY_OUT_OF_RANGE: ErrorText(
        "quantity-out-of-range", "The quantity is 0 or above the signer's largest quantity.", _I
    ),
    BidRejection.MINIMUM_ABOVE_QUANTITY: ErrorText("minimum-above-quantity", "The minimum is above the quantity.", _I),
    BidRejection.BEYOND_COVER: ErrorText(
        "beyond-cover", "The penalty that the bid could cause is beyond its cover.", _U
    ),
    BidRejection.DELEGATE_EXPIRED: ErrorText("delegate-expired", "The delegation has expired.", _F),
    BidRejection.PRICE_BELOW_DELEGATE_LIMIT: ErrorText(
        "price-below-delegate-limit", "The price is below the lowest that the delegate may bid.", _F
    ),
    BidRejection.WRONG_REVISION: ErrorText(
        "wrong-revision",
        "The revision is not the number of the nanogrid's posts in this offer so far, or there were three.",
        _C,
    ),
    BidRejection.ALREADY_SOLD: ErrorText("already-sold", "The nanogrid has won this interval already.", _C),
    BidRejection.OWNER_SIGNATURE_REQUIRED: ErrorText(
        "owner-signature-required", "The last post can only withdraw, with the owner's own signature.", _F
    ),
}

SKIP_TEXTS: Final = {
    Skip.ALREADY_SETTLED: ErrorText("already-settled", "The award is settled already.", _C),
    Skip.ON_HOLD: ErrorText("on-hold", "The award is on hold.", _S),
    Skip.BAD_SIGNATURE: ErrorText("bad-reading-signature", "The reading is not signed by the nanogrid's gateway.", _I),
    Skip.NOT_ANNOUNCED: ErrorText(
        "not-announced", "The reading was not announced, and only the oracle settles at once.", _S
    ),
    Skip.HOLD_WINDOW_OPEN: ErrorText("hold-window-open", "The hold window of the announced reading is still open.", _S),
    Skip.ANNULLED_READING: ErrorText("annulled-reading", "Two differing readings were signed: they are annulled.", _C),
    Skip.REPLACED_BY_COMMAND: ErrorText("replaced-by-command", "A RED command replaced the award.", _C),
    Skip.DEADLINE_NOT_REACHED: ErrorText("deadline-not-reached", "The deadline for readings is not over.", _S),
}
