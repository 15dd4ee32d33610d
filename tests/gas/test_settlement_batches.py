"""What a batch of a settlement is reckoned to take is never below what it takes: where every award costs the most that
one can, a batch that takes all that it has room for still fits into a transaction."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from market.domain.messages import Signal, Unbonding
from market.domain.products import Phase, Side
from market.domain.settlement_batches import EXPIRING, Call, Load, load_of_expiry, load_of_reading, settling
from market.domain.units import P256_SIGNATURE_BYTES, SIGNATURE_BYTES
from scripts.bench.gas.plan import SEED
from scripts.bench.gas.scene import NODE, Portfolio, Scene, owner_key, p256_gateway, start_node
from scripts.bench.gas.settling import Settling
from scripts.bench.gas.sizes import Study, all_awarded, gas_of

SEATS = 24
LEAF = 8
BUYING, SELLING, SILENT, PAYING, INTERRUPTED = (
    Portfolio(portfolio, SEATS, with_gateways=True) for portfolio in range(1, 6)
)
LEFT_UEUR = 7
"""Of each bond: a penalty takes it, and the rest becomes the seat's first debt."""


@pytest.fixture(scope="module")
def study() -> Iterator[Study]:
    with start_node() as chain:
        yield Study(Scene.build(chain, [BUYING, SELLING, SILENT, PAYING, INTERRUPTED], lambda *_: None), SEED, "")


def empty_bonds(scene: Scene, portfolio: Portfolio) -> None:
    """All owners take their bonds out, but for a rest; the seats' awards are still to be ended."""
    settlement, nanogrids = scene.settlement.functions, [portfolio.nanogrid(index) for index in range(portfolio.seats)]
    for index, nanogrid in enumerate(nanogrids):
        bond_ueur, _, _ = settlement.bondOf(nanogrid).call()
        scene.relay(scene.settlement, "startUnbonding", Unbonding(nanogrid, bond_ueur - LEFT_UEUR, 0), owner_key(index))
    scene.node.at(scene.node.now() + scene.parameters.unbonding_s)
    for nanogrid in nanogrids:
        scene.node.send(scene.anyone, scene.settlement, "withdrawBond", nanogrid)


def seat_p256_gateways(scene: Scene, portfolio: Portfolio) -> None:
    for nanogrid in map(portfolio.nanogrid, range(portfolio.seats)):
        scene.node.send(scene.operator, scene.settlement, "setGateway", nanogrid, p256_gateway(nanogrid).address)


def reckoned(call: Call, loads: list[Load]) -> int:
    return call.start_gas + sum(load.gas for load in loads) + len(loads) * call.record_gas


def readings(count: int) -> list[Load]:
    return [load_of_reading(ordinal, bytes(P256_SIGNATURE_BYTES), is_plain=False) for ordinal in range(count)]


@pytest.mark.slow
def test_short_deliveries_beyond_the_bonds_take_no_more_than_is_reckoned(study: Study) -> None:
    seat_p256_gateways(study.scene, BUYING)
    awarded = all_awarded(study, BUYING, p256_gateway)
    empty_bonds(study.scene, BUYING)
    gas = gas_of(awarded.settle(range(SEATS), delivered=0.5))
    assert gas <= reckoned(settling(SEATS), readings(SEATS))


@pytest.mark.slow
def test_sales_that_nobody_can_pay_take_no_more_than_is_reckoned(study: Study) -> None:
    seat_p256_gateways(study.scene, SELLING)
    auction = study.auction(SELLING, Side.SELL, passed_over=0)
    auction.post_all()
    auction.clear()
    auction.finalise()
    empty_bonds(study.scene, SELLING)
    count = len(auction.awards)
    gas = gas_of(Settling(auction, p256_gateway).settle(range(count), delivered=0.5))
    assert gas <= reckoned(settling(SEATS), readings(count))


@pytest.mark.slow
def test_expiries_beyond_the_bonds_take_no_more_than_is_reckoned(study: Study) -> None:
    awarded = all_awarded(study, SILENT)
    empty_bonds(study.scene, SILENT)
    gas = awarded.expire(range(SEATS)).gas
    assert gas <= reckoned(EXPIRING, [load_of_expiry(ordinal) for ordinal in range(SEATS)])


@pytest.mark.slow
def test_deliveries_that_pay_debts_take_no_more_than_is_reckoned(study: Study) -> None:
    """Their seats won them before they fell into debt; they leave the tight loop."""
    earlier, later = all_awarded(study, PAYING), all_awarded(study, PAYING)
    empty_bonds(study.scene, PAYING)
    earlier.settle(range(SEATS), delivered=0.5)
    gas = gas_of(later.settle(range(SEATS)))
    plain = [load_of_reading(ordinal, bytes(SIGNATURE_BYTES), is_plain=True) for ordinal in range(SEATS)]
    assert reckoned(settling(SEATS), plain) < gas <= reckoned(settling(SEATS), readings(SEATS))


@pytest.mark.slow
def test_what_is_skipped_where_red_came_after_the_beginning_takes_no_more_than_is_reckoned(study: Study) -> None:
    awarded, scene = all_awarded(study, INTERRUPTED), study.scene
    interval = awarded.auction.offer.interval
    scene.node.at(max(interval + 1, scene.node.now() + 1))
    red = Signal(NODE, interval, Phase.RED, 0, bytes(32), 2)
    scene.relay(scene.signals, "setSignal", red, scene.dso.key)
    awarded.settle(range(SEATS))
    leaf, all_leaves = awarded.expire(range(LEAF)).gas, awarded.expire(range(SEATS)).gas
    assert all_leaves - leaf <= (SEATS - LEAF) * EXPIRING.record_gas
