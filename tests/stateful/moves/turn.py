"""One party's turn: the run, and the chance that fills in what nobody wants to choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from market.domain.states import OfferStatus
from market.domain.typed_data import Message
from tests.stateful.actors import BY_ADDRESS, EVERYBODY, RELAYER, STRANGER, Actor, garbled, malleable
from tests.stateful.model.auction import OfferBook
from tests.stateful.model.market import MarketModel
from tests.stateful.player import Player
from tests.stateful.stage import NODES, PORTFOLIOS, U

Choice = TypeVar("Choice")


@dataclass
class Turn:
    player: Player
    chance: Random

    @property
    def model(self) -> MarketModel:
        return self.player.model

    @property
    def now(self) -> int:
        return self.player.now

    def do(self, sender: str, contract: str, function: str, *arguments: Any) -> bool:
        return self.player.do(sender, contract, function, *arguments)

    def happens(self, probability: float) -> bool:
        return self.chance.random() < probability

    def one_of(self, choices: Sequence[Choice]) -> Choice:
        return self.chance.choice(choices)

    def mostly(self, usual: Choice, others: Sequence[Choice], rarely: float = 0.1) -> Choice:
        """The usual value, or rarely one of the others."""
        return self.chance.choice(others) if others and self.happens(rarely) else usual

    # WHO

    def who(self, usual: Actor, rarely: float = 0.06) -> str:
        """Mostly whose office it is."""
        return self.mostly(usual.address, [each.address for each in EVERYBODY], rarely)

    def decided(self, address: str, message: Message, rarely: float = 0.06) -> tuple[str, bytes]:
        """(sender, signature) of a decision: sent by the party itself, or signed and carried; rarely by a wrong one."""
        decider = self.mostly(BY_ADDRESS.get(address, STRANGER), EVERYBODY, rarely)
        if self.happens(0.4):
            return decider.address, b""
        signature = decider.sign(self.model.context.digest(message))
        if self.happens(rarely):
            signature = self.one_of([malleable(signature), garbled(signature, self.chance), signature[:-1]])
        return self.mostly(RELAYER, [STRANGER], 0.3).address, signature

    # WHAT THERE IS

    def node(self) -> int:
        return self.mostly(7, [8, 8, 9])

    def nanogrid(self) -> int:
        """A seat that is mostly there."""
        seats = list(self.model.registry.seats)
        return self.mostly(self.one_of(seats), [2 << 16, 3 << 16 | 99, 2**48 - 1], 0.03)

    def dso_of(self, node: int) -> str:
        return self.model.registry.nodes.get(node, NODES[7].address)

    def aggregator_of(self, portfolio: int) -> str:
        found = self.model.registry.portfolios.get(portfolio)
        return found.aggregator if found else PORTFOLIOS[3][1].address

    def interval(self) -> int:
        """An interval around now, or rarely none at all."""
        near = self.now // U * U + U * self.chance.choice([-4, -3, -2, -1, -1, 0, 1, 1, 2, 3, 4, 5])
        return self.mostly(near, [near + 1, 10 * U, 2**32 - 1, near + 1000 * U], 0.03)

    def offer(self, *statuses: OfferStatus) -> OfferBook | None:
        """An offer that is mostly in one of the states, and mostly a late one."""
        books = list(self.model.auction.offers.values())
        wanted = [book for book in books if book.status in statuses]
        choices = wanted if wanted and self.happens(0.93) else books
        return self.one_of(choices[-6:]) if choices else None

    def salt(self) -> int:
        return self.chance.randrange(2**64)
