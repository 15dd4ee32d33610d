"""The model of ParticipantRegistry: roles, nodes, portfolios, seats and their signers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from market.domain.hashing import keccak256
from market.domain.messages import Delegation, SeatTransfer, SeatTransferVeto
from market.domain.units import MAX_COVER_CENTS, MAX_PRICE_UEUR_KWH
from tests.stateful.model.refusal import ZERO_ADDRESS, Context, Refused

OPEN_END = 2**32 - 1
FOREVER_DAY = 2**16 - 1
LARGEST_QUANTITY = 2**24 - 1
ADMIN_ROLE = bytes(32)
DELAY_INCREASE_WAIT_S = 5 * 86_400
OPERATOR, ORACLE, REFEREE, DSO, TSO, AGGREGATOR, AUDITOR, PROSUMER = (
    keccak256(name.encode())
    for name in ("OPERATOR", "ORACLE", "REFEREE", "DSO", "TSO", "AGGREGATOR", "AUDITOR", "PROSUMER")
)


@dataclass
class Signer:
    """Who signs a seat's bids, and within which limits."""

    address: str
    expiry_day: int
    lowest_price: int
    largest_quantity: int
    cover_cents: int

    def limits(self) -> tuple[object, ...]:
        return (self.address, self.expiry_day, self.lowest_price, self.largest_quantity, self.cover_cents)


@dataclass
class Seat:
    """A nanogrid."""

    owner: str
    active_from: int
    rated_power_w: int
    emergency_price: int
    signer: Signer
    active_until: int = OPEN_END
    cover_cents: int = 0
    suspended: bool = False
    owner_nonce: int = 0
    announced: tuple[str, int] = (ZERO_ADDRESS, 0)
    """To whom it shall go without its owner's word, and from when on it can."""


@dataclass
class Portfolio:
    """An aggregator's nanogrids at a node; closed seats no longer count in its rated power."""

    node: int
    aggregator: str
    seat_count: int = 0
    rated_power_w: int = 0


@dataclass
class Governance:
    """The two-step change of the default admin, and of its delay (OpenZeppelin's rules)."""

    admin: str
    delay_s: int
    pending_admin: str = ZERO_ADDRESS
    pending_at: int = 0
    pending_delay_s: int = 0
    pending_delay_at: int = 0

    def delay(self, now: int) -> int:
        return self.pending_delay_s if 0 < self.pending_delay_at < now else self.delay_s


@dataclass
class RegistryModel:
    context: Context
    time_unit_s: int
    settlement: str
    unbonding_s: int
    governance: Governance
    roles: set[tuple[bytes, str]] = field(default_factory=set)
    nodes: dict[int, str] = field(default_factory=dict)
    portfolios: dict[int, Portfolio] = field(default_factory=dict)
    seats: dict[int, Seat] = field(default_factory=dict)
    paused: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.roles |= {(ADMIN_ROLE, self.governance.admin), (OPERATOR, self.governance.admin)}

    # WHAT OTHERS ASK

    def has_role(self, role: bytes, account: str) -> bool:
        return (role, account) in self.roles

    def require_role(self, role: bytes, account: str) -> None:
        if not self.has_role(role, account):
            raise Refused("RoleMissing", account, role)

    def is_paused(self, node: int, product: int) -> bool:
        return (node, 0) in self.paused or (node, product) in self.paused

    def is_dso(self, node: int, account: str) -> bool:
        return self.nodes.get(node) == account and self.has_role(DSO, account)

    def node_of(self, portfolio: int) -> int:
        found = self.portfolios.get(portfolio)
        return found.node if found else 0

    def existing(self, nanogrid: int) -> Seat:
        if nanogrid not in self.seats:
            raise Refused("UnknownSeat", nanogrid)
        return self.seats[nanogrid]

    def is_active(self, nanogrid: int, interval: int) -> bool:
        seat = self.seats.get(nanogrid)
        return seat is not None and seat.active_from <= interval < seat.active_until and not seat.suspended

    def swing(self, seat: Seat) -> int:
        """The most that a seat can change in an interval [Wh or varh]."""
        return 2 * seat.rated_power_w * self.time_unit_s // 3600

    def is_expired(self, signer: Signer) -> bool:
        return self.context.now // 86_400 > signer.expiry_day

    # ROLES

    def _admin_of(self, role: bytes) -> bytes:
        return ADMIN_ROLE if role in (ADMIN_ROLE, OPERATOR) else OPERATOR

    def grant_role(self, sender: str, role: bytes, account: str) -> None:
        if role == ADMIN_ROLE:
            raise Refused("AccessControlEnforcedDefaultAdminRules")
        self.require_role(self._admin_of(role), sender)
        self.roles.add((role, account))

    def revoke_role(self, sender: str, role: bytes, account: str) -> None:
        if role == ADMIN_ROLE:
            raise Refused("AccessControlEnforcedDefaultAdminRules")
        self.require_role(self._admin_of(role), sender)
        self.roles.discard((role, account))

    def renounce_role(self, sender: str, role: bytes, account: str) -> None:
        rules = self.governance
        gives_up = role == ADMIN_ROLE and account == rules.admin
        if gives_up and (rules.pending_admin != ZERO_ADDRESS or not 0 < rules.pending_at < self.context.now):
            raise Refused("AccessControlEnforcedDefaultAdminDelay", rules.pending_at)
        if account != sender:
            raise Refused("AccessControlBadConfirmation")
        self.roles.discard((role, account))
        if gives_up:
            rules.admin, rules.pending_at = ZERO_ADDRESS, 0

    def begin_default_admin_transfer(self, sender: str, new_admin: str) -> None:
        self.require_role(ADMIN_ROLE, sender)
        at = self.context.now + self.governance.delay(self.context.now)
        self._schedule(new_admin, at)
        self.context.emit("DefaultAdminTransferScheduled", new_admin, at)

    def cancel_default_admin_transfer(self, sender: str) -> None:
        self.require_role(ADMIN_ROLE, sender)
        self._schedule(ZERO_ADDRESS, 0)

    def _schedule(self, admin: str, at: int) -> None:
        if self.governance.pending_at:
            self.context.emit("DefaultAdminTransferCanceled")
        self.governance.pending_admin, self.governance.pending_at = admin, at

    def accept_default_admin_transfer(self, sender: str) -> None:
        rules = self.governance
        if sender != rules.pending_admin:
            raise Refused("AccessControlInvalidDefaultAdmin", sender)
        if not 0 < rules.pending_at < self.context.now:
            raise Refused("AccessControlEnforcedDefaultAdminDelay", rules.pending_at)
        self.roles.discard((ADMIN_ROLE, rules.admin))
        self.roles.add((ADMIN_ROLE, sender))
        rules.admin, rules.pending_admin, rules.pending_at = sender, ZERO_ADDRESS, 0

    def change_default_admin_delay(self, sender: str, delay_s: int) -> None:
        self.require_role(ADMIN_ROLE, sender)
        now = self.governance.delay(self.context.now)
        wait_s = min(delay_s, DELAY_INCREASE_WAIT_S) if delay_s > now else now - delay_s
        self._schedule_delay(delay_s, self.context.now + wait_s)
        self.context.emit("DefaultAdminDelayChangeScheduled", delay_s, self.context.now + wait_s)

    def rollback_default_admin_delay(self, sender: str) -> None:
        self.require_role(ADMIN_ROLE, sender)
        self._schedule_delay(0, 0)

    def _schedule_delay(self, delay_s: int, at: int) -> None:
        rules = self.governance
        if rules.pending_delay_at:
            if rules.pending_delay_at < self.context.now:
                rules.delay_s = rules.pending_delay_s
            else:
                self.context.emit("DefaultAdminDelayChangeCanceled")
        rules.pending_delay_s, rules.pending_delay_at = delay_s, at

    # NODES AND PORTFOLIOS

    def register_node(self, sender: str, node: int, dso: str, name: str) -> None:
        self.require_role(OPERATOR, sender)
        if node in self.nodes:
            raise Refused("NodeExists", node)
        self.require_role(DSO, dso)
        self.nodes[node] = dso
        self.context.emit("NodeRegistered", node, dso, name)

    def set_node_dso(self, sender: str, node: int, dso: str) -> None:
        self.require_role(OPERATOR, sender)
        self._require_node(node)
        self.require_role(DSO, dso)
        self.nodes[node] = dso
        self.context.emit("NodeDsoChanged", node, dso)

    def set_paused(self, sender: str, node: int, product: int, paused: bool) -> None:
        self.require_role(OPERATOR, sender)
        self._require_node(node)
        (self.paused.add if paused else self.paused.discard)((node, product))
        self.context.emit("PauseChanged", node, product, paused)

    def _require_node(self, node: int) -> None:
        if node not in self.nodes:
            raise Refused("UnknownNode", node)

    def register_portfolio(self, sender: str, portfolio: int, node: int, aggregator: str, name: str) -> None:
        self.require_role(OPERATOR, sender)
        if portfolio in self.portfolios:
            raise Refused("PortfolioExists", portfolio)
        self._require_node(node)
        self.require_role(AGGREGATOR, aggregator)
        self.portfolios[portfolio] = Portfolio(node, aggregator)
        self.context.emit("PortfolioRegistered", portfolio, node, aggregator, name)

    def set_portfolio_aggregator(self, sender: str, portfolio: int, aggregator: str) -> None:
        self.require_role(OPERATOR, sender)
        if portfolio not in self.portfolios:
            raise Refused("UnknownPortfolio", portfolio)
        self.require_role(AGGREGATOR, aggregator)
        self.portfolios[portfolio].aggregator = aggregator
        self.context.emit("PortfolioAggregatorChanged", portfolio, aggregator)

    # SEATS

    def register_seat(
        self, sender: str, portfolio: int, owner: str, rated_power_w: int, emergency_price: int, active_from: int
    ) -> None:
        self.require_role(OPERATOR, sender)
        if portfolio not in self.portfolios:
            raise Refused("UnknownPortfolio", portfolio)
        if owner == ZERO_ADDRESS:
            raise Refused("ZeroAddress")
        if active_from <= self.context.now:
            raise Refused("IntervalNotInFuture", active_from)
        seats = self.portfolios[portfolio]
        nanogrid = portfolio << 16 | seats.seat_count
        seats.seat_count += 1
        seats.rated_power_w += rated_power_w
        nobody = Signer(owner, 0, 0, 0, 0)
        self.seats[nanogrid] = Seat(owner, active_from, rated_power_w, emergency_price, nobody)
        self.roles.add((PROSUMER, owner))
        self.context.emit("SeatRegistered", nanogrid, owner, rated_power_w, emergency_price, active_from)
        self._seat_owner(nanogrid)

    def close_seat(self, sender: str, nanogrid: int, active_until: int) -> None:
        self.require_role(OPERATOR, sender)
        seat = self.existing(nanogrid)
        if seat.active_until != OPEN_END:
            raise Refused("SeatAlreadyClosed", nanogrid, seat.active_until)
        if active_until <= self.context.now:
            raise Refused("IntervalNotInFuture", active_until)
        seat.active_until = active_until
        self.portfolios[nanogrid >> 16].rated_power_w -= seat.rated_power_w
        self.context.emit("SeatClosed", nanogrid, active_until)

    def reinstate_seat(self, sender: str, nanogrid: int) -> None:
        self.require_role(OPERATOR, sender)
        self.existing(nanogrid).suspended = False
        self.context.emit("SeatReinstated", nanogrid)

    def suspend_seat(self, sender: str, nanogrid: int, reason: bytes) -> None:
        self._require_settlement(sender)
        self.suspend(nanogrid, reason)

    def suspend(self, nanogrid: int, reason: bytes) -> None:
        if not self.seats[nanogrid].suspended:
            self.seats[nanogrid].suspended = True
            self.context.emit("SeatSuspended", nanogrid, reason)

    # CHANGES OF OWNER

    def owners_word(self, sender: str, message: Delegation | SeatTransfer | SeatTransferVeto, signature: bytes) -> Seat:
        """The seat whose owner has said so, for the first time."""
        signer = self.context.signer(sender, message, signature)
        seat = self.existing(message.nanogrid)
        if signer != seat.owner:
            raise Refused("NotSeatOwner", message.nanogrid, signer)
        if message.nonce != seat.owner_nonce:
            raise Refused("StaleNonce", message.nanogrid, message.nonce, seat.owner_nonce)
        return seat

    def announce_seat_transfer(self, sender: str, nanogrid: int, owner: str) -> None:
        self.require_role(OPERATOR, sender)
        seat = self.existing(nanogrid)
        if owner == ZERO_ADDRESS:
            raise Refused("ZeroAddress")
        seat.announced = (owner, self.context.now + 2 * self.unbonding_s)
        self.context.emit("SeatTransferAnnounced", nanogrid, *seat.announced)

    def veto_seat_transfer(self, sender: str, veto: tuple[object, ...], signature: bytes) -> None:
        given = SeatTransferVeto(*veto)  # type: ignore[arg-type]
        seat = self.owners_word(sender, given, signature)
        owner, _ = self.announced_for(given.nanogrid)
        seat.owner_nonce += 1
        seat.announced = (ZERO_ADDRESS, 0)
        self.context.emit("SeatTransferVetoed", given.nanogrid, owner)

    def announced_for(self, nanogrid: int) -> tuple[str, int]:
        seat = self.seats.get(nanogrid)
        if seat is None or seat.announced[0] == ZERO_ADDRESS:
            raise Refused("NoTransferAnnounced", nanogrid)
        return seat.announced

    def change_owner(self, nanogrid: int, owner: str) -> None:
        seat = self.seats[nanogrid]
        seat.owner, seat.announced = owner, (ZERO_ADDRESS, 0)
        seat.owner_nonce += 1
        self.roles.add((PROSUMER, owner))
        self.context.emit("SeatOwnerChanged", nanogrid, owner)
        self._seat_owner(nanogrid)

    # SIGNERS

    def set_delegate(self, sender: str, delegation: tuple[object, ...], signature: bytes) -> None:
        given = Delegation(*delegation)  # type: ignore[arg-type]
        self.existing(given.nanogrid)
        seat = self.owners_word(sender, given, signature)
        revokes = given.signer in (ZERO_ADDRESS, seat.owner)
        if not revokes and given.cover_cents > seat.cover_cents:
            raise Refused("LimitsTooWide", given.nanogrid, given.cover_cents, seat.cover_cents)
        if not revokes and given.lowest_price_ueur_kwh > MAX_PRICE_UEUR_KWH:
            raise Refused("PriceLimitOutOfRange", given.nanogrid, given.lowest_price_ueur_kwh)
        seat.owner_nonce += 1
        if revokes:
            self._seat_owner(given.nanogrid)
            return
        largest = min(given.largest_quantity, self.swing(seat), LARGEST_QUANTITY)
        seat.signer = Signer(given.signer, given.expiry_day, given.lowest_price_ueur_kwh, largest, given.cover_cents)
        self.context.emit("SignerChanged", given.nanogrid, *seat.signer.limits())

    def _seat_owner(self, nanogrid: int) -> None:
        seat = self.seats[nanogrid]
        largest = min(self.swing(seat), LARGEST_QUANTITY)
        seat.signer = Signer(seat.owner, FOREVER_DAY, 0, largest, seat.cover_cents)
        self.context.emit("SignerChanged", nanogrid, *seat.signer.limits())

    def refresh_seats(self, sender: str, nanogrids: Sequence[int]) -> None:
        """Changes what bids cost, not what they may."""
        for nanogrid in nanogrids:
            self.existing(nanogrid)

    def set_cover(self, sender: str, nanogrid: int, cover_cents: int) -> None:
        self._require_settlement(sender)
        self.cover(nanogrid, cover_cents)

    def cover(self, nanogrid: int, cover_cents: int) -> None:
        """A bond has changed: the owner's limit follows it, a delegate's is only lowered."""
        seat = self.seats[nanogrid]
        seat.cover_cents = min(cover_cents, MAX_COVER_CENTS)
        if seat.signer.address == seat.owner or seat.signer.cover_cents > cover_cents:
            seat.signer.cover_cents = cover_cents
        self.context.emit("CoverChanged", nanogrid, cover_cents)

    def _require_settlement(self, sender: str) -> None:
        if sender != self.settlement:
            raise Refused("OnlySettlement", sender)
