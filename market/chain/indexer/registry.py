"""Events of the ParticipantRegistry."""

from __future__ import annotations

from typing import Final

from market.chain.bindings import Event
from market.chain.indexer.projecting import ZERO_HASH, Projecting, given, on
from market.domain.hashing import keccak256
from market.store.models import Nanogrid, Node, Pause, Portfolio, RoleHolding

_CONTRACT: Final = "ParticipantRegistry"
_ROLE_NAMES: Final = ("OPERATOR", "ORACLE", "REFEREE", "DSO", "TSO", "AGGREGATOR", "AUDITOR", "PROSUMER")
ROLES: Final = {"0x" + keccak256(name.encode()).hex(): name for name in _ROLE_NAMES} | {ZERO_HASH: "ADMIN"}
"""keccak256 of a role's name, as the contract stores it → the name."""
_INDEX_BITS: Final = 16
_FOREVER: Final = 2**32 - 1


@on(_CONTRACT, "RoleGranted")
def _grant(run: Projecting, event: Event) -> None:
    role = ROLES.get(event["role"], event["role"][:32])
    if run.session.get(RoleHolding, (event["account"], role)) is None:
        run.session.add(
            RoleHolding(account=event["account"], role=role, granted_at=event.block_time, granted_by=event["sender"])
        )


@on(_CONTRACT, "RoleRevoked")
def _revoke(run: Projecting, event: Event) -> None:
    holding = run.session.get(RoleHolding, (event["account"], ROLES.get(event["role"], event["role"][:32])))
    if holding is not None:
        run.session.delete(holding)
        run.session.flush()  # the same role may be granted again within the range


@on(_CONTRACT, "NodeRegistered")
def _register_node(run: Projecting, event: Event) -> None:
    run.session.add(
        Node(node=event["node"], dso=event["dso"], name=event["name"][:200], registered_at=event.block_time)
    )


@on(_CONTRACT, "NodeDsoChanged")
def _change_dso(run: Projecting, event: Event) -> None:
    run.session.get_one(Node, event["node"]).dso = event["dso"]


@on(_CONTRACT, "PortfolioRegistered")
def _register_portfolio(run: Projecting, event: Event) -> None:
    run.session.add(
        Portfolio(
            portfolio=event["portfolio"],
            node=event["node"],
            aggregator=event["aggregator"],
            name=event["name"][:200],
            seat_count=0,
            registered_at=event.block_time,
        )
    )


@on(_CONTRACT, "PortfolioAggregatorChanged")
def _change_aggregator(run: Projecting, event: Event) -> None:
    run.session.get_one(Portfolio, event["portfolio"]).aggregator = event["aggregator"]


@on(_CONTRACT, "SeatRegistered")
def _register_seat(run: Projecting, event: Event) -> None:
    nanogrid: int = event["nanogrid"]
    portfolio = run.session.get_one(Portfolio, nanogrid >> _INDEX_BITS)
    portfolio.seat_count += 1
    run.session.add(
        Nanogrid(
            nanogrid=nanogrid,
            portfolio=portfolio.portfolio,
            node=portfolio.node,
            index=nanogrid & (1 << _INDEX_BITS) - 1,
            owner=event["owner"],
            owned_since=0,
            rated_power_w=event["ratedPowerW"],
            emergency_price_ueur_kwh=event["emergencyPriceUeurKwh"],
            active_from=event["activeFrom"],
            suspended=False,
            signer=event["owner"],
            signer_expiry_day=0,
            lowest_price_ueur_kwh=0,
            largest_quantity=0,
            signer_cover_cents=0,
            cover_cents=0,
            balance_ueur=0,
            bond_ueur=0,
            unbonding_ueur=0,
            debt_ueur=0,
            registered_at=event.block_time,
        )
    )


@on(_CONTRACT, "SeatClosed")
def _close_seat(run: Projecting, event: Event) -> None:
    until: int = event["activeUntil"]
    run.nanogrid(event["nanogrid"]).active_until = None if until == _FOREVER else until


@on(_CONTRACT, "SeatSuspended")
def _suspend(run: Projecting, event: Event) -> None:
    seat = run.nanogrid(event["nanogrid"])
    seat.suspended, seat.suspended_reason = True, event["reason"]


@on(_CONTRACT, "SeatReinstated")
def _reinstate(run: Projecting, event: Event) -> None:
    seat = run.nanogrid(event["nanogrid"])
    seat.suspended, seat.suspended_reason = False, None


@on(_CONTRACT, "SeatOwnerChanged")
def _change_owner(run: Projecting, event: Event) -> None:
    seat = run.nanogrid(event["nanogrid"])
    seat.owner, seat.owned_since = event["owner"], event.block_time
    seat.announced_owner, seat.transfer_possible_from = None, None


@on(_CONTRACT, "SeatTransferAnnounced")
def _announce_transfer(run: Projecting, event: Event) -> None:
    seat = run.nanogrid(event["nanogrid"])
    seat.announced_owner, seat.transfer_possible_from = event["owner"], event["possibleFrom"]


@on(_CONTRACT, "SeatTransferVetoed")
def _veto_transfer(run: Projecting, event: Event) -> None:
    seat = run.nanogrid(event["nanogrid"])
    seat.announced_owner, seat.transfer_possible_from = None, None


@on(_CONTRACT, "SignerChanged")
def _change_signer(run: Projecting, event: Event) -> None:
    seat = run.nanogrid(event["nanogrid"])
    seat.signer = given(event["signer"])
    seat.signer_expiry_day = event["expiryDay"]
    seat.lowest_price_ueur_kwh = event["lowestPriceUeurKwh"]
    seat.largest_quantity = event["largestQuantity"]
    seat.signer_cover_cents = event["coverCents"]


@on(_CONTRACT, "CoverChanged")
def _change_cover(run: Projecting, event: Event) -> None:
    seat = run.nanogrid(event["nanogrid"])
    seat.cover_cents = event["coverCents"]
    # As the contract: a delegate keeps what its owner gave it, as far as the bond still covers that.
    if seat.signer == seat.owner or seat.signer_cover_cents > seat.cover_cents:
        seat.signer_cover_cents = seat.cover_cents


@on(_CONTRACT, "PauseChanged")
def _pause(run: Projecting, event: Event) -> None:
    pause = run.session.get(Pause, (event["node"], event["product"]))
    if pause is None:
        pause = Pause(node=event["node"], product=event["product"])
        run.session.add(pause)
    pause.paused, pause.changed_at = event["paused"], event.block_time
