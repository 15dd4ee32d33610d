"""The model of GridSignals: the traffic light, verdicts, RED commands and answers to the TSO."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from market.domain.calendar import Calendar
from market.domain.messages import Command, Signal, TsoValidation, Verdict
from market.domain.products import COMMAND_PRODUCT, Direction, Phase, SignalKind
from market.domain.records import rejected_positions
from market.domain.settlement import amount_ueur
from market.domain.states import OfferStatus
from tests.stateful.model.refusal import Context, Refused
from tests.stateful.model.registry import RegistryModel

if TYPE_CHECKING:
    from tests.stateful.model.auction import AuctionModel
    from tests.stateful.model.settlement import SettlementModel

RED_FINAL_HUNDREDTHS = 100


@dataclass
class Light:
    """The phases of a node and interval by kind of signal, and what RED has left."""

    phases: dict[int, int] = field(default_factory=lambda: {SignalKind.FORECAST: 0, SignalKind.ACTUAL: 0})
    sequences: dict[int, int] = field(default_factory=lambda: {SignalKind.FORECAST: 0, SignalKind.ACTUAL: 0})
    red_since: int = 0
    commanded: bool = False

    @property
    def phase(self) -> Phase:
        """The phase that binds."""
        return Phase.RED if self.phases[SignalKind.ACTUAL] == Phase.RED else Phase(self.phases[SignalKind.FORECAST])


@dataclass
class GivenVerdict:
    """What the DSO rejects of an offer, and since when."""

    bitmap: bytes
    given_at: int

    @property
    def rejected(self) -> frozenset[int]:
        return rejected_positions(self.bitmap)


@dataclass
class SignalsModel:
    context: Context
    registry: RegistryModel
    calendar: Calendar
    auction: AuctionModel = field(init=False)
    settlement: SettlementModel = field(init=False)
    lights: dict[tuple[int, int], Light] = field(default_factory=dict)
    verdicts: dict[bytes, GivenVerdict] = field(default_factory=dict)
    commands: dict[tuple[int, int], Command] = field(default_factory=dict)
    validated: set[tuple[bytes, int]] = field(default_factory=set)

    def light(self, node: int, interval: int) -> Light:
        return self.lights.get((node, interval)) or Light()

    def phase(self, node: int, interval: int) -> Phase:
        return self.light(node, interval).phase

    def require_dso(self, node: int, signer: str) -> None:
        if not self.registry.is_dso(node, signer):
            raise Refused("NotDsoOfNode", node, signer)

    def set_signal(self, sender: str, signal: tuple[Any, ...], signature: bytes) -> None:
        given = Signal(*signal)
        if not self.calendar.is_interval(given.interval):
            raise Refused("NotAnInterval", given.interval)
        if given.phase > Phase.RED:
            raise Refused("InvalidPhase", given.phase)
        if given.kind > SignalKind.ACTUAL:
            raise Refused("InvalidKind", given.kind)
        author = self.context.signer(sender, given, signature)
        self.require_dso(given.node, author)
        light = self.light(given.node, given.interval)
        if given.sequence <= light.sequences[given.kind]:
            raise Refused("StaleSequence", given.sequence, light.sequences[given.kind])
        self._turn(light, given)
        self.lights[given.node, given.interval] = light
        self.context.emit("SignalSet", *signal, author)

    def _turn(self, light: Light, given: Signal) -> None:
        turned = Light(light.phases | {given.kind: given.phase})
        was_red, is_red = light.phase is Phase.RED, turned.phase is Phase.RED
        taken_back = was_red and not is_red and self.context.now < given.interval
        is_final = self.context.now > self.calendar.before(given.interval, RED_FINAL_HUNDREDTHS)
        if taken_back and (is_final or light.commanded):
            raise Refused("RedIsFinal", given.node, given.interval)
        light.phases = turned.phases
        light.sequences[given.kind] = given.sequence
        if taken_back:
            light.red_since = 0
        elif is_red and not light.red_since:
            light.red_since = self.context.now

    def give_verdict(self, sender: str, verdict: tuple[Any, ...], signature: bytes) -> None:
        given = Verdict(*verdict)
        offer = self.auction.offers.get(given.offer)
        author = self.context.signer(sender, given, signature)
        self.require_dso(self.registry.node_of(offer.terms.portfolio) if offer else 0, author)
        assert offer is not None, "no DSO has node 0"
        if given.offer in self.verdicts:
            raise Refused("VerdictAlreadyGiven", given.offer)
        if offer.status is not OfferStatus.CLEARED:
            raise Refused("OfferNotCleared", given.offer)
        deadline = self.calendar.clearing_deadline(offer.terms.gate_closure)
        if self.context.now > deadline:
            raise Refused("VerdictTooLate", given.offer, deadline)
        length, longest = len(given.rejected), len(offer.bids) // 8 + 1
        if length > longest:
            raise Refused("VerdictTooLong", given.offer, length, longest)
        self.verdicts[given.offer] = GivenVerdict(given.rejected, self.context.now)
        self.context.emit("VerdictGiven", *verdict, author)

    def give_command(self, sender: str, command: tuple[Any, ...], signature: bytes) -> None:
        given = Command(*command)
        self._require_commandable(given)
        node = self.registry.node_of(given.nanogrid >> 16)
        dso = self.context.signer(sender, given, signature)
        self.require_dso(node, dso)
        if self.phase(node, given.interval) is not Phase.RED:
            raise Refused("NodeNotRed", node, given.interval)
        if self.context.now >= self.calendar.end_of(given.interval):
            raise Refused("CommandTooLate", given.nanogrid, given.interval)
        if (given.nanogrid, given.interval) in self.commands:
            raise Refused("CommandExists", given.nanogrid, given.interval)
        self.commands[given.nanogrid, given.interval] = given
        self.lights[node, given.interval].commanded = True
        price = self.registry.seats[given.nanogrid].emergency_price
        reserved = self.settlement.reserve(given.nanogrid, given.interval, dso, amount_ueur(given.quantity, price))
        self.context.emit("CommandGiven", *command[:5], price, reserved, given.reason)

    def _require_commandable(self, given: Command) -> None:
        if not self.calendar.is_interval(given.interval):
            raise Refused("NotAnInterval", given.interval)
        if given.product != COMMAND_PRODUCT:
            raise Refused("InvalidProduct", given.product)
        if given.direction > Direction.DOWN:
            raise Refused("InvalidDirection", given.direction)
        if given.quantity == 0:
            raise Refused("EmptyQuantity")
        seat = self.registry.existing(given.nanogrid)
        if not seat.active_from <= given.interval < seat.active_until:
            raise Refused("SeatNotActive", given.nanogrid, given.interval)

    def validate_tso_request(
        self, sender: str, request: bytes, node: int, accepted: bool, reason: bytes, signature: bytes
    ) -> None:
        given = TsoValidation(request, node, accepted, reason)
        self.require_dso(node, self.context.signer(sender, given, signature))
        if (request, node) in self.validated:
            raise Refused("ValidationExists", request, node)
        self.validated.add((request, node))
        self.context.emit("TsoRequestValidated", request, node, accepted, reason)
