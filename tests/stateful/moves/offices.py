"""The operator's office: roles, nodes, portfolios, seats, pauses, gateways; and the owners' delegates."""

from __future__ import annotations

from market.domain.messages import Delegation, Enrolment, SeatTransfer, SeatTransferVeto, TsoValidation
from tests.stateful.actors import (
    AGGREGATORS,
    BY_ADDRESS,
    CODE,
    DELEGATES,
    DSOS,
    EVERYBODY,
    GATEWAYS,
    OPERATOR,
    ORACLE,
    OWNERS,
    REFEREE,
    RELAYER,
    STRANGER,
    SUCCESSOR,
    Actor,
    actor,
)
from tests.stateful.model import registry as roles
from tests.stateful.model.refusal import ZERO_ADDRESS
from tests.stateful.moves.turn import Turn
from tests.stateful.stage import PARAMETERS, U

REGISTRY = "ParticipantRegistry"
OFFICES = [
    (roles.ORACLE, ORACLE),
    (roles.REFEREE, REFEREE),
    (roles.OPERATOR, OPERATOR),
    (roles.OPERATOR, SUCCESSOR),
    (roles.TSO, STRANGER),
    *((roles.DSO, dso) for dso in DSOS),
    *((roles.AGGREGATOR, each) for each in AGGREGATORS),
]


def _operator(turn: Turn) -> Actor:
    return turn.one_of([OPERATOR, SUCCESSOR])


def take_office(turn: Turn) -> None:
    """Mostly gives back what was taken: a market without officers would stand still."""
    missing = [(role, holder) for role, holder in OFFICES if not turn.model.registry.has_role(role, holder.address)]
    role, holder = turn.one_of(missing or OFFICES)
    if missing or turn.happens(0.3):
        admin = turn.model.registry.governance.admin if role == roles.OPERATOR else _operator(turn).address
        turn.do(admin, REGISTRY, "grantRole", turn.mostly(role, [roles.ADMIN_ROLE], 0.1), holder.address)
    elif turn.happens(0.5):
        role = turn.mostly(role, [roles.ADMIN_ROLE], 0.1)
        turn.do(turn.who(_operator(turn)), REGISTRY, "revokeRole", role, holder.address)
    else:
        sender = turn.mostly(holder.address, [STRANGER.address], 0.2)
        turn.do(sender, REGISTRY, "renounceRole", turn.mostly(role, [roles.ADMIN_ROLE], 0.2), holder.address)


def restore_order(turn: Turn) -> None:
    """Gives every office back and ends the pauses, so that an auction has a chance."""
    registry = turn.model.registry
    for role, holder in OFFICES:
        if not registry.has_role(role, holder.address):
            admin = registry.governance.admin if role == roles.OPERATOR else OPERATOR.address
            turn.do(admin, REGISTRY, "grantRole", role, holder.address)
    for node, product in sorted(registry.paused):
        turn.do(OPERATOR.address, REGISTRY, "setPaused", node, product, False)


def hand_over(turn: Turn) -> None:
    """The two-step change of the default admin, and of its delay."""
    rules = turn.model.registry.governance
    admin = turn.mostly(rules.admin, [STRANGER.address])
    kind = turn.chance.randrange(6)
    if kind == 0:
        new_admin = turn.mostly(turn.one_of([OPERATOR, SUCCESSOR]).address, [ZERO_ADDRESS])
        turn.do(admin, REGISTRY, "beginDefaultAdminTransfer", new_admin)
    elif kind in (1, 2):
        if rules.pending_at and turn.happens(0.7):
            turn.player.jump(rules.pending_at + turn.chance.randrange(2))
        turn.do(turn.mostly(rules.pending_admin, [STRANGER.address]), REGISTRY, "acceptDefaultAdminTransfer")
    elif kind == 3:
        turn.do(admin, REGISTRY, "cancelDefaultAdminTransfer")
    elif kind == 4:
        turn.do(admin, REGISTRY, "changeDefaultAdminDelay", turn.one_of([3600, 7200, 86_400, 10**6]))
    else:
        turn.do(admin, REGISTRY, "rollbackDefaultAdminDelay")


def change_the_grid(turn: Turn) -> None:
    """Nodes, portfolios, pauses."""
    operator, kind = turn.who(_operator(turn)), turn.chance.randrange(7)
    aggregator = turn.mostly(turn.one_of(AGGREGATORS), [STRANGER]).address
    dso = turn.mostly(turn.one_of(DSOS), [STRANGER]).address
    if kind == 0:
        turn.do(operator, REGISTRY, "registerNode", turn.one_of([7, 9, 10]), dso, "a node")
    elif kind == 1:
        turn.do(operator, REGISTRY, "setNodeDso", turn.one_of([7, 8, 9, 11]), dso)
    elif kind == 2:
        portfolio = turn.one_of([3, 6, 7])
        turn.do(operator, REGISTRY, "registerPortfolio", portfolio, turn.node(), aggregator, "a portfolio")
    elif kind == 3:
        turn.do(operator, REGISTRY, "setPortfolioAggregator", turn.one_of([3, 4, 5, 8]), aggregator)
    elif turn.model.registry.paused and turn.happens(0.7):
        turn.do(operator, REGISTRY, "setPaused", *turn.one_of(sorted(turn.model.registry.paused)), False)
    else:
        turn.do(operator, REGISTRY, "setPaused", turn.one_of([7, 8, 12]), turn.one_of([0, 1, 3, 6]), True)


def change_a_seat(turn: Turn) -> None:
    operator, nanogrid, kind = turn.who(_operator(turn)), turn.nanogrid(), turn.chance.randrange(6)
    suspended = sorted(seat for seat, state in turn.model.registry.seats.items() if state.suspended)
    moment = turn.now // U * U + U * turn.chance.choice([0, 1, 2, 4, 30])
    owner = turn.mostly(turn.one_of(OWNERS).address, [ZERO_ADDRESS], 0.04)
    if suspended and turn.happens(0.6):
        turn.do(operator, REGISTRY, "reinstateSeat", turn.one_of(suspended))
    elif kind == 0:
        seat = (turn.mostly(turn.one_of([3, 4, 5]), [99], 0.1), owner, 5_000, 200_000, moment)
        turn.do(operator, REGISTRY, "registerSeat", *seat)
    elif kind == 1:
        turn.do(operator, REGISTRY, "closeSeat", nanogrid, moment)
    elif kind == 2:
        turn.do(operator, REGISTRY, "reinstateSeat", nanogrid)
    else:
        _give_a_seat(turn, nanogrid, owner)


def _give_a_seat(turn: Turn, nanogrid: int, owner: str) -> None:
    """With its owner's word, or by an announcement that the owner may veto."""
    seat = turn.model.registry.seats.get(nanogrid)
    old, nonce = (seat.owner, seat.owner_nonce) if seat else (STRANGER.address, 0)
    nonce = turn.mostly(nonce, [nonce + 1], 0.05)
    operator = turn.who(_operator(turn))
    if turn.happens(0.6):
        transfer = SeatTransfer(nanogrid, owner, nonce)
        signature = turn.mostly(BY_ADDRESS[old], EVERYBODY, 0.06).sign(turn.model.context.digest(transfer))
        turn.do(operator, REGISTRY, "changeSeatOwner", transfer.arguments(), turn.mostly(signature, [b""], 0.05))
        return
    turn.do(operator, REGISTRY, "announceSeatTransfer", nanogrid, owner)
    if turn.happens(0.3):
        veto = SeatTransferVeto(nanogrid, nonce)
        sender, signature = turn.decided(old, veto)
        turn.do(sender, REGISTRY, "vetoSeatTransfer", veto.arguments(), signature)
    elif turn.happens(0.3):
        turn.player.jump(turn.now + 2 * PARAMETERS.unbonding_s)
        complete_transfer(turn, nanogrid)


def complete_transfer(turn: Turn, nanogrid: int) -> None:
    """As announced, where it was."""
    turn.do(turn.who(_operator(turn)), REGISTRY, "completeSeatTransfer", nanogrid)


def refresh_seats(turn: Turn) -> None:
    """Anybody has the seats looked at anew, so that their bids cost less."""
    nanogrids = [turn.nanogrid() for _ in range(turn.chance.choice([1, 6]))]
    turn.do(STRANGER.address, REGISTRY, "refreshSeats", nanogrids)


def set_delegate(turn: Turn) -> None:
    nanogrid = turn.nanogrid()
    seat = turn.model.registry.seats.get(nanogrid)
    owner, nonce, cover = (seat.owner, seat.owner_nonce, seat.cover_cents) if seat else (STRANGER.address, 0, 0)
    today = turn.now // 86_400
    delegation = Delegation(
        nanogrid,
        turn.mostly(turn.one_of(DELEGATES).address, [ZERO_ADDRESS, owner], 0.25),
        turn.mostly(today + 3, [today, today - 1], 0.3),
        turn.mostly(turn.one_of([0, 0, 90_000, 260_000]), [2**29 - 1, 2**29], 0.05),
        turn.chance.choice([800, 6000, 2**24 - 1]),
        turn.mostly(cover, [cover // 2, cover + 1, 2**24 - 1], 0.3) % 2**24,
        turn.mostly(nonce, [nonce + 1], 0.05),
    )
    sender, signature = turn.decided(owner, delegation)
    turn.do(sender, REGISTRY, "setDelegate", delegation.arguments(), signature)


def seat_a_gateway(turn: Turn) -> None:
    """By the operator, or by a one-time code that the gateway itself uses."""
    without = [
        seat
        for seat in turn.model.registry.seats
        if turn.model.settlement.gateways.get(seat, ZERO_ADDRESS) == ZERO_ADDRESS
    ]
    nanogrid = turn.one_of(without) if without and turn.happens(0.7) else turn.nanogrid()
    gateway = turn.mostly(turn.one_of([*GATEWAYS, actor("gateway of its own")]).address, [ZERO_ADDRESS], 0.03)
    operator = turn.who(_operator(turn))
    if turn.happens(0.6):
        turn.do(operator, "Settlement", "setGateway", nanogrid, gateway)
        return
    code = turn.mostly(CODE.address, [ZERO_ADDRESS], 0.03)
    turn.do(
        operator,
        "Settlement",
        "openEnrolment",
        nanogrid,
        code,
        turn.mostly(turn.now + U, [turn.now, turn.now - 1], 0.2),
    )
    if turn.happens(0.9):
        enrol_gateway(turn, nanogrid)


def enrol_gateway(turn: Turn, nanogrid: int) -> None:
    seats = turn.model.settlement
    unseated = [
        each for each in GATEWAYS if seats.gateways.get(seats.seat_of_gateway.get(each.address, 0)) != each.address
    ]
    free = turn.mostly(turn.one_of(unseated or GATEWAYS), GATEWAYS)
    message = Enrolment(nanogrid, free.address)
    digest = turn.model.context.digest(message)
    code_signature = turn.mostly(CODE.sign(digest), [STRANGER.sign(digest), b"\1" * 65, b"\1" * 64], 0.1)
    own_signature = turn.mostly(free.sign(digest), [CODE.sign(digest)], 0.1)
    turn.do(RELAYER.address, "Settlement", "enrolGateway", nanogrid, free.address, code_signature, own_signature)


def answer_tso(turn: Turn) -> None:
    node = turn.node()
    validation = TsoValidation(turn.chance.randrange(20).to_bytes(32, "big"), node, turn.happens(0.5), bytes(32))
    sender, signature = turn.decided(turn.dso_of(node), validation)
    turn.do(sender, "GridSignals", "validateTsoRequest", *validation.arguments(), signature)


def knock_at_closed_doors(turn: Turn) -> None:
    """What only the contracts may call of each other."""
    sender, nanogrid, id_ = turn.one_of([STRANGER, OPERATOR]).address, turn.nanogrid(), bytes(32)
    door = turn.one_of(
        [
            ("Settlement", "lock", id_, sender, 1),
            ("Settlement", "moveEscrow", id_, id_, 1),
            ("Settlement", "release", id_, sender, 1),
            ("Settlement", "openAwards", id_),
            ("Settlement", "reserveForCommand", nanogrid, 900, sender, 1),
            ("Settlement", "payAvailability", sender, nanogrid, 1),
            ("Settlement", "unseatGateway", nanogrid),
            (REGISTRY, "setCover", nanogrid, 1),
            (REGISTRY, "suspendSeat", nanogrid, id_),
        ]
    )
    turn.do(sender, *door)


def say_it_again(turn: Turn) -> None:
    """A call that was accepted is carried again, by its sender or by somebody else."""
    if turn.player.said:
        sender, *call = turn.one_of(turn.player.said)
        turn.do(turn.mostly(sender, [STRANGER.address], 0.3), *call)
