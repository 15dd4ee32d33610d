"""Makes each call on the chain and in the model, and compares what they say."""

from __future__ import annotations

import traceback
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from market.chain.deployment import Deployment
from market.domain.settled_records import unpack_results
from market.domain.settlement import Outcome
from market.domain.states import OfferStatus
from tests.stateful.contracts import Contracts, plain
from tests.stateful.model.market import MarketModel
from tests.stateful.model.refusal import Refused
from tests.stateful.node import Node, NodeError

STATUS_EVENTS = {
    "OfferOpened": OfferStatus.OPEN,
    "Cleared": OfferStatus.CLEARED,
    "Finalised": OfferStatus.FINAL,
    "OfferCancelled": OfferStatus.CANCELLED,
    "OfferExpired": OfferStatus.EXPIRED,
}


@dataclass
class Tally:
    """What a run has reached, so that none can be empty."""

    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By call and custom error."""
    events: Counter[str] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)
    """Outcomes, skips, bid rejections and the like."""
    faults: list[str] = field(default_factory=list)
    """What went wrong, as it happened: Hypothesis tells only what it can repeat."""

    def refusals_of(self, what: str) -> dict[str, int]:
        """Custom errors of a call, with how often each was met."""
        return {error: count for (call, error), count in sorted(self.refused.items()) if call == what}

    @property
    def errors(self) -> Counter[str]:
        """Custom errors by name."""
        errors: Counter[str] = Counter()
        for (_, error), count in self.refused.items():
            errors[error] += count
        return errors

    @contextmanager
    def noting_faults(self) -> Iterator[None]:
        """Keeps what goes wrong inside."""
        try:
            yield
        except Exception:
            self.faults.append(traceback.format_exc())
            raise

    @property
    def calls(self) -> int:
        return self.accepted.total() + self.refused.total()


@dataclass
class Player:
    """One run of the market, on the chain and in the model."""

    node: Node
    contracts: Contracts
    deployment: Deployment
    model: MarketModel
    tally: Tally
    is_broken: bool = False
    """Chain and model have parted: nothing after that means anything."""
    said: deque[tuple[Any, ...]] = field(default_factory=lambda: deque(maxlen=40))
    """The last accepted calls."""

    @property
    def now(self) -> int:
        return self.model.now

    def jump(self, moment: int) -> None:
        """Lets time pass, never back [epoch s]."""
        if moment > self.now:
            self.node.jump(moment)
            self.model.context.now = moment

    def do(self, sender: str, contract: str, function: str, *arguments: Any) -> bool:
        """Makes a call; whether it was accepted. The chain must say what the model says, to the last argument."""
        address = self.deployment.addresses[contract]
        data = self.contracts.data(contract, function, arguments)
        what = f"{contract}.{function}"
        self.is_broken = True  # until both have said the same
        try:
            expected = self.model.call(contract, function, sender, arguments)
        except Refused as refusal:
            error = (refusal.name, *plain(refusal.arguments))
            assert self._error_of(sender, address, data) == error, f"{what}: the model refuses with {error}"
            self.tally.refused[what, refusal.name] += 1
            self.is_broken = False
            return False
        receipt = self.node.send(sender, address, data)
        if receipt["status"] != "0x1":
            raise AssertionError(f"{what}: the model accepts, the chain says {self._error_of(sender, address, data)}")
        events = sorted(map(repr, map(plain, expected)))
        assert sorted(map(repr, self.contracts.events(receipt))) == events, f"{what}: other events than the model's"
        self._note(what, expected)
        self.said.append((sender, contract, function, *arguments))
        self.is_broken = False
        return True

    def must(self, sender: str, contract: str, function: str, *arguments: Any) -> None:
        """A call that no rule forbids."""
        assert self.do(sender, contract, function, *arguments), f"{contract}.{function} was refused"

    def _error_of(self, sender: str, address: str, data: bytes) -> tuple[Any, ...]:
        try:
            self.node.call(sender, address, data)
        except NodeError as error:
            return self.contracts.error(error.data)
        return ("accepted",)

    def _note(self, what: str, events: list[tuple[Any, ...]]) -> None:
        self.tally.accepted[what] += 1
        for name, *arguments in events:
            self.tally.events[name] += 1
            if name == "AwardsSettled":
                for result in unpack_results(arguments[1]):
                    self.tally.reached[f"outcome {result.outcome.name}"] += 1
                    self.tally.reached["interrupted and paid"] += (
                        result.outcome is Outcome.REVOKED and result.delivered > 0
                    )
            elif name == "AwardSkipped":
                self.tally.reached[f"skip {arguments[2].name}"] += 1
            elif name in STATUS_EVENTS:
                self.tally.reached[f"status {STATUS_EVENTS[name].name}"] += 1
            elif name == "BidSkipped":
                self.tally.reached[f"rejection {arguments[2].name}"] += 1

    # READING

    def read(self, calls: list[tuple[str, str, tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
        """(contract, function, arguments) of many readers in one exchange."""
        asked = [
            (self.deployment.addresses[name], self.contracts.data(name, function, arguments))
            for name, function, arguments in calls
        ]
        answers = self.node.read(asked)
        return [self.contracts.result(call[0], call[1], answer) for call, answer in zip(calls, answers, strict=True)]
