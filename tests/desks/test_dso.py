"""The DSO's desk decides by power flow: light and request, verdict, RED and commands; twice is as good as once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from market.desks.desk import Desk
from market.desks.dso import DeskPolicy, DsoDesk
from market.desks.market_client import Json, MarketClient
from market.domain.products import Phase
from market.domain.records import BidRecord, WireBid
from market.services import rounds
from tests.chain.world import NODE, REQUEST_PRICE_UEUR_KWH, U, World, before, nanogrid
from tests.cli.conftest import Room
from tests.desks.conftest import BUSES, NANOGRID_W, T, anchor, node_grid

OVERLOADING_W, HARMLESS_W = -110_000, -20_000
NEARLY_TOO_MUCH_DRAWN_W = 178_000
"""With 36 kW more the transformer is within its rating, with 72 kW more it is not: the nanogrids inject 72 kW."""


@pytest.fixture
def dso(room: Room, desk_of: Callable[[str], Desk]) -> Callable[[int], DsoDesk]:
    """A desk over a grid where the passive point draws so much, at T - 3u, with the baselines anchored."""
    room.world.at(before(T, 410))
    anchor(room, T)
    room.world.at(before(T, 300))

    def open_dso(passive_w: int) -> DsoDesk:
        policy = DeskPolicy(price_ueur_kwh=REQUEST_PRICE_UEUR_KWH, margin_percent=3.0)
        return DsoDesk(desk_of("dso"), NODE, node_grid(passive_w), policy, room.market.now_s)

    return open_dso


def signals(desk: Desk, interval: int = T) -> list[dict[str, Any]]:
    return list(desk.client.items(f"/v1/nodes/{NODE}/signals", first=interval, last=interval))


def requests(desk: Desk) -> list[dict[str, Any]]:
    return list(desk.client.items("/v1/requests", node=NODE))


def commands(room: Room) -> list[Any]:
    from sqlalchemy import select

    from market.store.projections import GridCommand

    room.market.index()
    with room.market.reading() as session:
        return list(session.scalars(select(GridCommand).order_by(GridCommand.nanogrid)))


def test_a_forecast_within_the_limits_is_green_and_nothing_is_bought(
    dso: Callable[[int], DsoDesk], desk_of: Callable[[str], Desk]
) -> None:
    dso(HARMLESS_W).assess_forecast(T)
    everybody = desk_of("aggregator")
    [signal] = signals(everybody)
    assert (signal["phase"], signal["reason"]["cause"]) == (0, "within limits")
    assert requests(everybody) == []


def test_a_forecast_that_breaks_a_limit_is_yellow_with_its_reason_and_a_request_of_what_is_needed(
    dso: Callable[[int], DsoDesk], desk_of: Callable[[str], Desk]
) -> None:
    dso(OVERLOADING_W).assess_forecast(T)
    everybody = desk_of("aggregator")
    [signal] = signals(everybody)
    assert signal["phase"] == 1
    assert signal["reason"]["element"] == "transformer:0"
    assert signal["reason"]["loading_percent"] > 100
    [request] = requests(everybody)
    assert (request["direction"], request["price_ueur_kwh"]) == (1, REQUEST_PRICE_UEUR_KWH)
    [wanted] = request["intervals"]
    # About what the transformer carries above 97 % of 160 kVA, in a quarter of an hour.
    above_wh = (signal["reason"]["loading_percent"] - 97) / 100 * 160_000 / 4
    assert wanted["interval"] == T
    assert wanted["quantity"] == pytest.approx(above_wh, rel=0.1)


def test_the_forecast_counts_the_baselines_of_every_page(
    dso: Callable[[int], DsoDesk], desk_of: Callable[[str], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    get = MarketClient.get

    def one_a_page(client: MarketClient, path: str, **params: object) -> Json:
        return get(client, path, **params | ({"limit": 1} if path.endswith("/baselines") else {}))

    monkeypatch.setattr(MarketClient, "get", one_a_page)
    dso(OVERLOADING_W).assess_forecast(T)
    [signal] = signals(desk_of("aggregator"))
    assert signal["phase"] == 1, "the passive point and one nanogrid alone break no limit"


def test_a_desk_that_is_started_again_says_nothing_twice(
    dso: Callable[[int], DsoDesk], desk_of: Callable[[str], Desk]
) -> None:
    for _ in range(2):
        dso(OVERLOADING_W).assess_forecast(T)
    everybody = desk_of("aggregator")
    assert (len(signals(everybody)), len(requests(everybody))) == (1, 1)


def never(*_: object, **__: object) -> None:
    raise AssertionError("this is worked out for nothing")


def test_a_desk_that_comes_too_late_for_a_request_sets_the_light_and_works_no_request_out(
    room: Room, dso: Callable[[int], DsoDesk], desk_of: Callable[[str], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = dso(OVERLOADING_W)
    room.world.at(before(T, 189))
    monkeypatch.setattr("market.desks.dso.need", never)
    desk.assess_forecast(T)
    everybody = desk_of("aggregator")
    assert [signal["phase"] for signal in signals(everybody)] == [Phase.YELLOW]
    assert requests(everybody) == []


@pytest.mark.parametrize("early_s", [0, 1])
def test_a_desk_that_comes_too_late_for_commands_goes_red_and_works_none_out(
    room: Room,
    dso: Callable[[int], DsoDesk],
    desk_of: Callable[[str], Desk],
    monkeypatch: pytest.MonkeyPatch,
    early_s: int,
) -> None:
    desk = dso(OVERLOADING_W)
    desk.assess_forecast(T)
    room.world.at(room.market.calendar.last_command(T) - early_s)
    if not early_s:
        monkeypatch.setattr("market.desks.dso.choose_commands", never)
    desk.decide_red(T)
    assert signals(desk_of("aggregator"))[-1]["phase"] == Phase.RED
    assert bool(commands(room)) is bool(early_s)


def auction(room: Room, bids: list[BidRecord]) -> str:
    """An offer of the whole request that is cleared with these bids."""
    world = room.world
    room.world.at(before(T, 275))
    with room.market.reading() as session:
        from sqlalchemy import select

        from market.store.projections import RequestInterval

        [part] = session.scalars(select(RequestInterval))
    offer = world.offer(T, part.quantity, bytes.fromhex(part.request[2:]))
    world.at(before(T, 145))
    world.post(offer, [world.wire(offer, bid) for bid in bids])
    world.at(before(T, 120))
    rounds.run_due(room.market)
    return "0x" + offer.hex()


def test_without_enough_flexibility_the_node_goes_red_and_the_desk_commands_what_solves_it(
    room: Room, dso: Callable[[int], DsoDesk]
) -> None:
    desk = dso(OVERLOADING_W)
    desk.assess_forecast(T)
    auction(room, [BidRecord(100_000, 200, 0, 0)])
    room.world.at(before(T, 96))
    for _ in range(2):
        desk.decide_red(T)
    given = commands(room)
    assert given
    assert {command.direction for command in given} == {1}, "less injection"
    wanted_wh = sum(command.quantity for command in given)
    assert wanted_wh > 200
    assert len({command.nanogrid for command in given}) == len(given), "each commanded once"


def test_commands_do_not_wait_for_each_others_blocks(
    room: Room, dso: Callable[[int], DsoDesk], monkeypatch: pytest.MonkeyPatch
) -> None:
    post, posted, second = MarketClient.post, [], threading.Event()

    def beside_another(client: MarketClient, path: str, *rest: Any) -> Json:
        if path == "/v1/commands":
            posted.append(path)
            if len(posted) > 1:
                second.set()
            assert second.wait(20), "the second is posted when the first is in its block"
        return post(client, path, *rest)

    desk = dso(OVERLOADING_W + 2 * NANOGRID_W)
    desk.assess_forecast(T)
    room.world.at(before(T, 96))
    monkeypatch.setattr(MarketClient, "post", beside_another)
    desk.decide_red(T)
    assert len(commands(room)) == len(posted) > 1


def test_a_nanogrid_that_the_grids_forecast_does_not_know_stops_none_of_the_others(
    room: Room, desk_of: Callable[[str], Desk]
) -> None:
    room.world.at(before(T, 410))
    anchor(room, T)
    room.world.at(before(T, 300))
    grid = node_grid(OVERLOADING_W + NANOGRID_W)
    known = tuple(point for point in grid.forecast.points if point.nanogrid != nanogrid(0))
    partly = replace(grid, forecast=replace(grid.forecast, points=known))
    desk = DsoDesk(desk_of("dso"), NODE, partly, DeskPolicy(), room.market.now_s)
    desk.assess_forecast(T)
    room.world.at(before(T, 96))
    desk.decide_red(T)
    assert {command.nanogrid for command in commands(room)} <= {nanogrid(index) for index in (1, 2, 3)}
    assert commands(room)


def test_a_command_that_is_refused_stops_none_of_the_others(room: Room, dso: Callable[[int], DsoDesk]) -> None:
    desk = dso(OVERLOADING_W)
    desk.assess_forecast(T)
    # Nanogrid 0 leaves before T: commands to it are refused.
    room.world.send("operator", room.world.contracts.registry.functions.closeSeat(nanogrid(0), T - U))
    room.world.at(before(T, 96))
    desk.decide_red(T)
    given = {command.nanogrid for command in commands(room)}
    assert nanogrid(0) not in given
    assert given


@pytest.mark.parametrize("others", [[], [2, 3]])
def test_a_verdict_counts_what_the_other_results_of_the_interval_bring(
    room: Room, desk_of: Callable[[str], Desk], others: list[int]
) -> None:
    world = room.world
    world.at(before(T, 410))
    anchor(room, T)
    if others:  # the aggregator has bought from them for itself
        world.at(before(T, 400))
        internal = world.offer(T, 9_000)
        world.at(before(T, 350))
        world.post(internal, bids(world, internal, others))
        world.at(before(T, 325))
        awards = world.clear(internal)
        world.at(before(T, 300))
        world.finalise(internal, awards)
    world.at(before(T, 299))
    world.signal(T, Phase.YELLOW, 1)
    request = world.request(T, [9_000])
    world.at(before(T, 275))
    offer = world.offer(T, 9_000, request)
    world.at(before(T, 145))
    world.post(offer, bids(world, offer, [0, 1]))
    world.at(before(T, 120))
    rounds.run_due(room.market)
    world.at(before(T, 110))
    grid = node_grid(NEARLY_TOO_MUCH_DRAWN_W)
    DsoDesk(desk_of("dso"), NODE, grid, DeskPolicy(), room.market.now_s).give_verdicts(T)
    left = list(desk_of("aggregator").client.items(f"/v1/offers/0x{offer.hex()}/awards"))
    # This result by itself is within the limits; beside the other one it is not.
    assert len(left) == (0 if others else 2)


def bids(world: World, offer: bytes, indices: list[int]) -> list[WireBid]:
    return [world.wire(offer, BidRecord(100_000, 4_500, 0, index)) for index in indices]


def test_with_enough_flexibility_the_node_stays_yellow_and_nobody_is_commanded(
    room: Room, dso: Callable[[int], DsoDesk], desk_of: Callable[[str], Desk]
) -> None:
    desk = dso(OVERLOADING_W)
    desk.assess_forecast(T)
    auction(room, [BidRecord(100_000, 4500, 0, index) for index in range(len(BUSES))])
    room.world.at(before(T, 110))
    desk.give_verdicts(T)
    room.world.at(before(T, 96))
    desk.decide_red(T)
    assert commands(room) == []
    assert [signal["phase"] for signal in signals(desk_of("aggregator"))] == [1]


def test_after_the_interval_the_desk_records_what_the_nanogrids_measured(
    room: Room, dso: Callable[[int], DsoDesk], desk_of: Callable[[str], Desk]
) -> None:
    from market.store.database import session_scope
    from market.store.facts import Reading

    desk = dso(OVERLOADING_W)
    desk.assess_forecast(T)
    with session_scope(room.world.engine) as session:
        for index in range(len(BUSES)):
            session.add(
                Reading(
                    nanogrid=nanogrid(index), interval=T, sequence=1, gateway="0x" + "00" * 20, active_energy_wh=0,
                    reactive_energy_varh=0, payload=b"", signature=b"", digest="0x" + f"{index:064x}",
                    previous_hash="0x" + "00" * 32, salt=bytes(32), quality="MEASURED", received_at=T + U,
                )
            )  # fmt: skip
    room.world.at(T + U + U // 10)
    desk.assess_actual(T)
    actual = [signal for signal in signals(desk_of("aggregator")) if signal["kind"] == 1]
    # 110 kW of the passive point alone: within the limits.
    assert [signal["phase"] for signal in actual] == [0]
