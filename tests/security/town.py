"""Two nodes with different DSOs, aggregators and owners, and on each something at every stage: what an API can show
or change is there twice, for those whom it concerns and for those whom it does not.

The moments of all intervals are played in their order; then the clock stands, at the moment when a verdict on
`VERDICT` is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from market.chain.deployment import DeploymentParameters
from market.desks.desk import document_hash
from market.domain.enrolment_code import EnrolmentCode
from market.domain.hashing import keccak256
from market.domain.messages import Bid, Command, Delegation, Hold, Offer, Request, Signal, Unbonding, Verdict
from market.domain.messages import Reading as SignedReading
from market.domain.products import Direction, Phase, Product, Side
from market.domain.records import rejected_bitmap
from market.domain.settled_records import SettlementReading, pack_readings
from market.domain.signing import address_of, sign_message
from market.domain.trees import award_range, baseline_leaf, baseline_root, baseline_vector
from market.domain.typed_data import Message
from market.services import bids, clearing, notices
from market.services.access import Principal
from market.store.facts import Baseline, Reading
from market.store.work import Dispatch
from tests.chain.story import NO_LEAF
from tests.chain.world import EMERGENCY_PRICE_UEUR_KWH, EUR, KEYS, NODE, PORTFOLIO, U, before, gateway_key, owner_key
from tests.cli.conftest import Room
from tests.cli.test_money import awards_of
from tests.conftest import TEST_EPOCH

PARAMETERS = DeploymentParameters(
    admin_delay_s=3600,
    time_unit_s=U,
    reading_deadline_s=2 * U,
    hold_window_s=U,
    hold_term_s=3 * U,
    hold_bond_ueur=5 * EUR,
    unbonding_s=19 * U,
)
SETTLED, LAPSING, HOLDABLE, HELD, COMMANDED, VERDICT, BIDDING, OFFERABLE, EARLY, LATER, RED = (
    TEST_EPOCH + place * U for place in (15, 16, 17, 18, 19, 22, 23, 24, 26, 27, 28)
)
"""Intervals, by what can be done about them when the clock stands."""
TRADED = (SETTLED, LAPSING, HOLDABLE, HELD, VERDICT)
NOW = before(VERDICT, 110)
REASON = {"text": "Transformer at 118 %"}
SEATS = 2
"""Nanogrids of each node that bid; at the near node the first two of four."""


def key_of(name: str) -> bytes:
    """A key that is this town's only."""
    return keccak256(f"town {name}".encode())


@dataclass
class Quarter:
    """A node with one portfolio, and what it has."""

    node: int
    portfolio: int
    dso: bytes
    aggregator: bytes
    owners: list[bytes]
    gateways: list[bytes]
    sequence: int = 0
    requests: dict[int, str] = field(default_factory=dict)
    offers: dict[int, str] = field(default_factory=dict)
    digests: dict[tuple[int, int], str] = field(default_factory=dict)
    """Digest of a bid, by interval and index."""

    def nanogrid(self, index: int) -> int:
        return self.portfolio << 16 | index


@dataclass
class Town:
    """Both quarters over one market, and the pens of everybody."""

    room: Room
    near: Quarter
    far: Quarter
    api_keys: dict[str, int] = field(default_factory=dict)
    """Id of an API key by the address that has made it."""
    code: EnrolmentCode = field(default_factory=lambda: EnrolmentCode.new(PORTFOLIO << 16))
    """What the operator has opened for the near node's first nanogrid."""

    @classmethod
    def build(cls, room: Room) -> Town:
        near = Quarter(
            NODE, PORTFOLIO, KEYS["dso"], KEYS["aggregator"], [owner_key(0), owner_key(1)],
            [gateway_key(0), gateway_key(1)],
        )  # fmt: skip
        far = Quarter(
            8, 4, key_of("dso"), key_of("aggregator"), [key_of("owner 0"), key_of("owner 1")],
            [key_of("gateway 0"), key_of("gateway 1")],
        )  # fmt: skip
        town = cls(room, near, far)
        town.register_far()
        for moment_s, step in sorted(town.steps(), key=lambda each: each[0]):
            room.world.at(moment_s)
            step()
            room.market.index()
        room.world.at(NOW)
        opened = room.world.contracts.settlement.functions.openEnrolment
        room.world.send("operator", opened(town.code.nanogrid, town.code.address, NOW + U))
        town.note_what_the_oracle_keeps()
        room.market.index()
        return town

    @property
    def quarters(self) -> tuple[Quarter, Quarter]:
        return self.near, self.far

    # SIGNING AND SENDING

    def hex_signature(self, message: Message, key: bytes) -> str:
        return sign_message(key, message, self.room.world.contracts.domain_of(message)).hex()

    def signed(self, message: Message, key: bytes, **documents: Any) -> dict[str, Any]:
        """The body of a decision."""
        return {"message": message.to_json(), "signature": self.hex_signature(message, key), **documents}

    def decide(self, function: Any, message: Message, key: bytes, *more: Any) -> None:
        world = self.room.world
        world.send("relayer", function(message.arguments(), *more, world.sign(key, message)))

    # SET-UP

    def register_far(self) -> None:
        world, far = self.room.world, self.far
        registry, settlement = world.contracts.registry.functions, world.contracts.settlement.functions
        token = world.contracts.token.functions
        for role, key in (("DSO", far.dso), ("AGGREGATOR", far.aggregator)):
            world.send("operator", registry.grantRole(keccak256(role.encode()), address_of(key)))
        world.send("operator", registry.registerNode(far.node, address_of(far.dso), "Substation 8"))
        world.send(
            "operator", registry.registerPortfolio(far.portfolio, far.node, address_of(far.aggregator), "Others")
        )
        for index, owner in enumerate(far.owners):
            seat = (far.portfolio, address_of(owner), 20_000, EMERGENCY_PRICE_UEUR_KWH, TEST_EPOCH + U)
            world.send("operator", registry.registerSeat(*seat))
            world.send("operator", settlement.setGateway(far.nanogrid(index), address_of(far.gateways[index])))
        world.send("operator", token.mint(world.address("operator"), 5000 * EUR, keccak256(b"bank 2")))
        world.send("operator", token.approve(world.contracts.settlement.address, 5000 * EUR))
        for key in (far.dso, far.aggregator):
            world.send("operator", settlement.deposit(address_of(key), 1000 * EUR))
        for index in range(SEATS):
            world.send("operator", settlement.fundBond(far.nanogrid(index), 80 * EUR))
        for quarter in self.quarters:
            for index in range(SEATS):
                self.decide(
                    settlement.startUnbonding, Unbonding(quarter.nanogrid(index), EUR, 0), quarter.owners[index]
                )

    def steps(self) -> list[tuple[int, Callable[[], None]]]:
        """(moment, what happens then) of every interval, on both nodes."""
        steps: list[tuple[int, Callable[[], None]]] = []

        def add(moment_s: int, action: Callable[..., None], *arguments: Any) -> None:
            steps.extend((moment_s, lambda quarter=quarter: action(quarter, *arguments)) for quarter in self.quarters)

        for interval in TRADED:
            add(before(interval, 410), self.anchor, interval)
            add(before(interval, 300), self.request, interval)
            add(before(interval, 275), self.offer, interval)
            add(before(interval, 250), self.bid, interval)
            add(before(interval, 145), self.post, interval)
            add(before(interval, 120), self.clear, interval)
        for interval in TRADED[:-1]:
            add(before(interval, 110), self.accept, interval)
            add(before(interval, 93), self.finalise, interval)
        add(before(COMMANDED, 410), self.anchor, COMMANDED)
        add(before(COMMANDED, 96), self.command, COMMANDED)
        add(COMMANDED + U, self.settle_commands)
        add(SETTLED + U + U // 3, self.settle)
        for interval in (LAPSING, HELD):
            add(interval + U // 10, self.hold, interval)
        add(before(BIDDING, 410), self.anchor, BIDDING)
        add(before(BIDDING, 300), self.request, BIDDING)
        add(before(BIDDING, 275), self.offer, BIDDING)
        add(before(OFFERABLE, 410), self.anchor, OFFERABLE)
        add(before(OFFERABLE, 320), self.request, OFFERABLE)
        add(NOW - 60, self.anchor, EARLY)
        add(NOW - 40, self.offer, EARLY)
        add(NOW - 30, self.bid, EARLY)
        add(NOW - 20, self.light, RED, Phase.RED)
        add(NOW - 20, self.announce)
        add(NOW - 10, self.delegate)
        return steps

    # WHAT HAPPENS AT A NODE

    def anchor(self, quarter: Quarter, interval: int) -> None:
        values = [0] * 4 if quarter is self.near else [0] * SEATS
        root = baseline_root(values)
        metering = self.room.world.contracts.metering.functions
        anchor = (quarter.portfolio, interval, 0, len(values), root)
        self.room.world.send("oracle", metering.anchorBaselines([anchor]))
        with self.room.market.sessions() as session:
            session.add(
                Baseline(
                    portfolio=quarter.portfolio, interval=interval, kind=0, values=values, root="0x" + root.hex(),
                    nominated_at=self.room.world.now_s, anchor_transaction=None,
                )
            )  # fmt: skip

    def light(self, quarter: Quarter, interval: int, phase: Phase) -> None:
        quarter.sequence += 1
        message = Signal(quarter.node, interval, phase, 0, document_hash(REASON), quarter.sequence)
        self.decide(self.room.world.contracts.signals.functions.setSignal, message, quarter.dso)

    def request(self, quarter: Quarter, interval: int) -> None:
        """A request of twice what is offered: the rest can be reclaimed."""
        self.light(quarter, interval, Phase.YELLOW)
        message = Request(
            quarter.node, interval, Product.CM_REALTIME, Direction.DOWN, 400_000, (2000,), self.room.world.now_s
        )
        self.decide(self.room.world.contracts.auction.functions.publishRequest, message, quarter.dso)
        quarter.requests[interval] = "0x" + message.digest(self.room.market.domain(message)).hex()

    def offer_message(self, quarter: Quarter, interval: int, gate_closure: int) -> Offer:
        request = quarter.requests.get(interval)
        return Offer(
            portfolio=quarter.portfolio,
            request=bytes(32) if request is None else bytes.fromhex(request[2:]),
            interval=interval,
            side=Side.BUY,
            direction=Direction.DOWN,
            product=Product.INTERNAL if request is None else Product.CM_REALTIME,
            quantity=1000,
            limit_price_ueur_kwh=300_000,
            gate_closure=gate_closure,
            salt=self.room.world.now_s,
        )

    def offer(self, quarter: Quarter, interval: int) -> None:
        message = self.offer_message(quarter, interval, before(interval, 345 if interval == EARLY else 140))
        self.decide(self.room.world.contracts.auction.functions.openOffer, message, quarter.aggregator)
        quarter.offers[interval] = "0x" + message.digest(self.room.market.domain(message)).hex()

    def bid_document(self, offer: str, index: int, key: bytes) -> dict[str, Any]:
        bid = Bid(bytes.fromhex(offer[2:]), index, 100_000 + index, 500, 0, 0)
        return {
            "index": index, "price_ueur_kwh": bid.price_ueur_kwh, "quantity": bid.quantity, "minimum": 0,
            "revision": 0, "signature": self.hex_signature(bid, key),
        }  # fmt: skip

    def bid(self, quarter: Quarter, interval: int) -> None:
        offer = quarter.offers[interval]
        for index, key in enumerate(quarter.owners):
            document = self.bid_document(offer, index, key)
            [result] = bids.receive(self.room.market, Principal(address_of(key)), offer, [document])
            assert result.digest is not None, result.refusal
            quarter.digests[interval, index] = result.digest

    def post(self, quarter: Quarter, interval: int) -> None:
        bids.post(self.room.market, quarter.offers[interval])

    def clear(self, quarter: Quarter, interval: int) -> None:
        clearing.clear(self.room.market, quarter.offers[interval])

    def accept(self, quarter: Quarter, interval: int) -> None:
        verdict = Verdict(bytes.fromhex(quarter.offers[interval][2:]), rejected_bitmap([]), bytes(32))
        self.decide(self.room.world.contracts.signals.functions.giveVerdict, verdict, quarter.dso)

    def finalise(self, quarter: Quarter, interval: int) -> None:
        clearing.finalise(self.room.market, quarter.offers[interval])

    def reading(self, quarter: Quarter, index: int, interval: int, ordinal: int = 0) -> SettlementReading:
        message = SignedReading(quarter.nanogrid(index), interval, 500, 0, interval)
        domain = self.room.market.domain(message)
        signature = sign_message(quarter.gateways[index], message, domain).compact()
        return SettlementReading(ordinal, 500, 0, interval, signature)

    def settle(self, quarter: Quarter) -> None:
        world, offer = self.room.world, quarter.offers[SETTLED]
        settlement = world.contracts.settlement.functions
        values = [0] * 4 if quarter is self.near else [0] * SEATS
        awards = awards_of(self.room, offer)
        readings = [self.reading(quarter, index, SETTLED, index) for index in range(SEATS)]
        function = settlement.settle(
            bytes.fromhex(offer[2:]), settlement.bindingOf(offer).call(), baseline_vector(values),
            award_range(awards, 0, SEATS - 1).argument(), pack_readings(readings),
        )  # fmt: skip
        world.send("oracle", function)

    def command(self, quarter: Quarter, interval: int) -> None:
        self.light(quarter, interval, Phase.RED)
        for index in range(SEATS):
            message = self.command_message(quarter.nanogrid(index), interval)
            self.decide(self.room.world.contracts.signals.functions.giveCommand, message, quarter.dso)

    def command_message(self, nanogrid: int, interval: int) -> Command:
        return Command(nanogrid, interval, Product.VC_EMERGENCY_P, Direction.DOWN, 500, document_hash(REASON))

    def settle_commands(self, quarter: Quarter) -> None:
        settlement = self.room.world.contracts.settlement.functions
        values = [0] * 4 if quarter is self.near else [0] * SEATS
        for index in range(SEATS):
            given = baseline_leaf(values, index).argument()
            reading = self.reading(quarter, index, COMMANDED).argument()
            function = settlement.settleCommand(quarter.nanogrid(index), COMMANDED, given, reading, bytes(32), NO_LEAF)
            self.room.world.send("oracle", function)

    def hold(self, quarter: Quarter, interval: int) -> None:
        offer = quarter.offers[interval]
        awards = awards_of(self.room, offer)
        for ordinal in range(SEATS):
            message = Hold(bytes.fromhex(offer[2:]), ordinal, document_hash(REASON))
            given = award_range(awards, ordinal, ordinal).argument()
            self.decide(self.room.world.contracts.settlement.functions.placeHold, message, quarter.aggregator, given)

    def announce(self, quarter: Quarter) -> None:
        """The operator announces another owner for every nanogrid, so that there is something to object to."""
        registry = self.room.world.contracts.registry.functions
        for index in range(SEATS):
            announced = registry.announceSeatTransfer(quarter.nanogrid(index), address_of(key_of("heir")))
            self.room.world.send("operator", announced)

    def delegate(self, quarter: Quarter) -> None:
        """Every owner lets one key of its own choice bid for it."""
        contracts = self.room.world.contracts
        for index, owner in enumerate(quarter.owners):
            nanogrid, signer = quarter.nanogrid(index), address_of(key_of(f"delegate {quarter.nanogrid(index)}"))
            nonce = contracts.call(contracts.registry.functions.ownerNonce(nanogrid))
            message = Delegation(nanogrid, signer, NOW // 86_400 + 30, 80_000, 600, 100, nonce)
            self.decide(contracts.registry.functions.setDelegate, message, owner)

    def note_what_the_oracle_keeps(self) -> None:
        """A dispatch and a reading of every nanogrid, as the oracle writes them."""
        with self.room.market.sessions() as session:
            for quarter in self.quarters:
                for index in range(SEATS):
                    reading, dispatch = self._reading(quarter, index), self._dispatch(quarter, index)
                    notices.note_dispatch(session, dispatch, "NEW", NOW)
                    notices.note_reading(session, reading, NOW)
                    session.add_all([reading, dispatch])

    def _reading(self, quarter: Quarter, index: int) -> Reading:
        return Reading(
            nanogrid=quarter.nanogrid(index), interval=SETTLED, sequence=1,
            gateway=address_of(quarter.gateways[index]), active_energy_wh=500, reactive_energy_varh=0, payload=b"",
            signature=b"\x01" * 64, digest=f"0x{quarter.nanogrid(index):064x}", previous_hash="0x" + "00" * 32,
            salt=bytes(32), quality="MEASURED", received_at=NOW,
        )  # fmt: skip

    def _dispatch(self, quarter: Quarter, index: int) -> Dispatch:
        return Dispatch(
            id=f"0x{quarter.nanogrid(index):064x}", kind="AWARD", nanogrid=quarter.nanogrid(index),
            gateway=address_of(quarter.gateways[index]), interval=SETTLED, product=0, direction=1, quantity=500,
            baseline=0, change=-500, target_w=2000, target_var=0, lease_end=SETTLED + 960, signature=bytes(64),
            state="NEW", reason=None, offer=quarter.offers[SETTLED], ordinal=index, decision=None, created_at=NOW,
            published_at=None, answered_at=None, started_at=None, ended_at=None,
        )  # fmt: skip
