"""The DSO's desk: grid state → traffic light → request → verdict → RED commands, for one node.

Forecasts are the nominated baselines of the node's nanogrids and the DSO's own forecast of the rest. Everything is
decided from the market's public record and the grid, so that a desk that is started again goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from market.desks.desk import Desk, document_hash
from market.desks.market_client import Json, MarketProblem
from market.desks.node_grid import SECONDS_PER_HOUR, NodeGrid
from market.domain.calendar import Moment
from market.domain.messages import Command, Request, Signal, Verdict
from market.domain.products import Direction, Kind, Phase, Product, SignalKind
from market.domain.records import rejected_bitmap
from market.domain.traffic_light import START, GridFacts, Light, light_after_market, light_by_forecast
from market.domain.traffic_light import Limits as LightLimits
from market.grid.congestion import Limits, Need, need
from market.grid.curtailment import Curtailable, choose_commands
from market.grid.powerflow import GridState, Injection, with_changes
from market.grid.validation import AwardedChange, check_awards
from market.jobs import Job

log = structlog.get_logger(__name__)

_ALREADY_DONE = frozenset({"stale-sequence", "request-exists", "verdict-already-given", "command-exists"})
_ACTUAL_AFTER_END_HUNDREDTHS = 10
_COMMANDS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class DeskPolicy:
    """How the DSO buys.

    price_ueur_kwh: price of a request [micro-euro per kWh]; margin_percent: how far inside the limits it buys, in
    percentage points of loading; sheddable_permille: share of a withdrawal that RED may command away.
    """

    price_ueur_kwh: int = 300_000
    margin_percent: float = 3.0
    sheddable_permille: int = 500


def facts_of(state: GridState) -> GridFacts:
    """The worst values of a grid state. A power flow without solution counts as broken beyond measure."""
    if not state.converged:
        return GridFacts(loading_percent=float("inf"))
    voltages = state.vm_pu.values()
    return GridFacts(max(state.loading_percent.values()), min(voltages), max(voltages))


class DsoDesk:
    """Decides for one node. now_s: the time by the process's clock [epoch s]."""

    def __init__(
        self,
        desk: Desk,
        node: int,
        grid: NodeGrid,
        policy: DeskPolicy,
        now_s: Callable[[], float],
        limits: Limits | None = None,
    ) -> None:
        self._desk = desk
        self._now_s = now_s
        self._node = node
        self._grid = grid
        self._policy = policy
        self._limits = limits or Limits()
        self._light_limits = LightLimits(self._limits.loading_percent, self._limits.voltage_band)

    def jobs(self) -> list[Job]:
        """The desk's calendar."""
        calendar = self._desk.calendar
        return [
            Job("signal and request", calendar.at(Moment.REQUEST_PUBLISHED, 0), self.assess_forecast),
            Job("verdict", calendar.at(Moment.VERDICT_GIVEN, 0), self.give_verdicts),
            Job("RED", calendar.at(Moment.RED_DECIDED, 0), self.decide_red),
            Job(
                "actual values",
                calendar.time_unit_s + calendar.span_s(_ACTUAL_AFTER_END_HUNDREDTHS),
                self.assess_actual,
            ),
        ]

    def assess_forecast(self, interval: int) -> None:
        """Set the light of an interval by forecast and publish the request that it needs."""
        if not self._grid.covers(interval):
            return
        injections = self._forecast(interval)
        state = self._grid.power_flow.solve(injections)
        light = light_by_forecast(self._light_before(interval), facts_of(state), self._light_limits)
        self._signal(interval, light, SignalKind.FORECAST, state)
        if light.phase is not Phase.YELLOW or not state.converged:
            return
        if self._now_s() > self._desk.calendar.reclaimable_at(interval):
            log.info("too late for a request", interval=interval)
            return
        wanted = need(
            self._grid.power_flow,
            injections,
            self._limits,
            candidates=self._grid.forecast.candidate_buses,
            margin_percent=self._policy.margin_percent,
            span_s=self._desk.calendar.time_unit_s,
        )
        if wanted is not None and wanted.energy_wh > 0:
            self._request(interval, wanted)

    def give_verdicts(self, interval: int) -> None:
        """Check every cleared result of an interval by power flow and reject what the grid cannot bear."""
        if not self._grid.covers(interval):
            return
        baseline = self._forecast(interval)
        for offer in self._offers(interval, "CLEARED"):
            awards = self._changes(offer)
            if not awards:
                continue
            # What the other results of the interval bring is there already.
            others = with_changes(baseline, self._awarded(interval, without=offer["id"]))
            check = check_awards(self._grid.power_flow, others, awards, limits=self._limits)
            if check.accepted:
                continue  # silence accepts
            reasons = {str(position): reason for position, reason in sorted(check.rejected.items())}
            verdict = Verdict(
                offer=bytes.fromhex(offer["id"][2:]),
                rejected=rejected_bitmap(check.rejected),
                reasons=document_hash(reasons),
            )
            log.info("awards rejected", offer=offer["id"], interval=interval, reasons=reasons)
            self._decide(f"/v1/offers/{offer['id']}/verdict", verdict, reasons=reasons)

    def decide_red(self, interval: int) -> None:
        """Go RED where the forecast with the cleared result still breaks a limit, and command what solves it."""
        if not self._grid.covers(interval):
            return
        light = self._light_of(interval)
        if light.phase is Phase.GREEN:
            return
        baseline = self._forecast(interval)
        after = self._grid.power_flow.solve(with_changes(baseline, self._awarded(interval)))
        if light.phase is not Phase.RED:
            light = light_after_market(light, facts_of(after), self._light_limits)
            if light.phase is not Phase.RED:
                return
            self._signal(interval, light, SignalKind.FORECAST, after)
        if self._now_s() >= self._desk.calendar.last_command(interval):
            log.info("too late for commands", interval=interval)
            return
        self._command(interval, baseline)

    def assess_actual(self, interval: int) -> None:
        """Record the light of an interval that is over, from what its nanogrids measured."""
        if not self._grid.covers(interval):
            return
        readings = {
            int(row["nanogrid"]): row
            for row in self._desk.client.items(f"/v1/nodes/{self._node}/readings", interval=interval)
        }
        if not readings:
            return
        hours = self._desk.calendar.time_unit_s / SECONDS_PER_HOUR
        power_w = self._baselines_w(interval) | {
            nanogrid: row["active_energy_wh"] / hours for nanogrid, row in readings.items()
        }
        state = self._grid.power_flow.solve(self._grid.injections(interval, power_w))
        phase = Phase.RED if facts_of(state).is_broken(self._light_limits) else Phase.GREEN
        self._post_signal(interval, phase, SignalKind.ACTUAL, self._grid.describe(state))

    # --- what the market says

    def _baselines_w(self, interval: int) -> dict[int, float]:
        rows = self._desk.client.items(f"/v1/nodes/{self._node}/baselines", interval=interval, kind=0)
        hours = self._desk.calendar.time_unit_s / SECONDS_PER_HOUR
        return {int(row["nanogrid"]): row["baseline_wh"] / hours for row in rows}

    def _forecast(self, interval: int) -> dict[int, Injection]:
        return self._grid.injections(interval, self._baselines_w(interval))

    def _light_of(self, interval: int) -> Light:
        rows = list(
            self._desk.client.items(
                f"/v1/nodes/{self._node}/signals", first=interval, last=interval, kind=int(SignalKind.FORECAST)
            )
        )
        if not rows:
            return START
        last = max(rows, key=lambda row: row["sequence"])
        reason = last["reason"] or {}
        return Light(Phase(last["phase"]), reason.get("cause", START.cause), int(reason.get("calm_intervals", 0)))

    def _light_before(self, interval: int) -> Light:
        return self._light_of(interval - self._desk.calendar.time_unit_s)

    def _offers(self, interval: int, *statuses: str) -> Iterable[Json]:
        for offer in self._desk.client.items("/v1/offers", node=self._node, interval=interval):
            if offer["status"] in statuses:
                yield offer

    def _changes(self, offer: Json) -> list[AwardedChange]:
        if Product(int(offer["product"])).kind is not Kind.ACTIVE:
            return []  # varh move no watts
        hours = self._desk.calendar.time_unit_s / SECONDS_PER_HOUR
        sign = Direction(offer["direction"]).load_sign
        return [
            AwardedChange(int(award["position"]), bus, sign * award["quantity"] / hours)
            for award in self._desk.client.items(f"/v1/offers/{offer['id']}/awards")
            if (bus := self._known_bus(int(award["nanogrid"]))) is not None
        ]

    def _known_bus(self, nanogrid: int) -> int | None:
        bus = self._grid.bus_of(nanogrid)
        if bus is None:  # nothing can be said of it, and it stops nothing that can be said of the others
            log.error("nanogrid is not in the grid's forecast", nanogrid=nanogrid)
        return bus

    def _awarded(self, interval: int, without: str = "") -> Mapping[int, float]:
        change_w: dict[int, float] = {}
        for offer in (each for each in self._offers(interval, "CLEARED", "FINAL") if each["id"] != without):
            for award in self._changes(offer):
                change_w[award.bus] = change_w.get(award.bus, 0.0) + award.delta_w
        return change_w

    # --- what the desk says

    def _signal(self, interval: int, light: Light, kind: SignalKind, state: GridState) -> None:
        reason = self._grid.describe(state) | {
            "cause": str(light.cause),
            "calm_intervals": light.calm_intervals,
        }
        self._post_signal(interval, light.phase, kind, reason)

    def _post_signal(self, interval: int, phase: Phase, kind: SignalKind, reason: Json) -> None:
        signal = Signal(
            node=self._node,
            interval=interval,
            phase=phase,
            kind=kind,
            reason=document_hash(reason),
            # One forecast before the market, and one more when the node goes RED.
            sequence=2 if phase is Phase.RED else 1,
        )
        self._decide(f"/v1/nodes/{self._node}/signals", signal, reason=reason)

    def _request(self, interval: int, wanted: Need) -> None:
        request = Request(
            node=self._node,
            first_interval=interval,
            product=Product.CM_REALTIME,
            direction=wanted.direction,
            price_ueur_kwh=self._policy.price_ueur_kwh,
            quantities=(wanted.energy_wh,),
            salt=0,
        )
        log.info(
            "request",
            interval=interval,
            element=wanted.violation.element,
            value=round(wanted.violation.value, 3),
            direction=wanted.direction.name,
            energy_wh=wanted.energy_wh,
        )
        self._decide("/v1/requests", request)

    def _command(self, interval: int, baseline: Mapping[int, Injection]) -> None:
        points = [
            Curtailable(
                point=nanogrid,
                bus=bus,
                down_w=int(max(0.0, -watts)),
                up_w=int(max(0.0, watts) * self._policy.sheddable_permille / 1000),
            )
            for nanogrid, watts in self._baselines_w(interval).items()
            if (bus := self._known_bus(nanogrid)) is not None
        ]
        commands = choose_commands(self._grid.power_flow, baseline, points, self._limits)
        if commands is None:
            return
        reason = {"element": commands.violation.element, "text": "RED: direct command", "solved": commands.solved}
        hours = self._desk.calendar.time_unit_s / SECONDS_PER_HOUR
        given = [
            Command(
                nanogrid=nanogrid,
                interval=interval,
                product=Product.VC_EMERGENCY_P,
                direction=commands.direction,
                quantity=quantity,
                reason=document_hash(reason),
            )
            for nanogrid, delta_w in commands.delta_w.items()
            if (quantity := int(abs(delta_w) * hours)) > 0
        ]
        # The market answers each when it is in a block: one after the other they would reach the last homes too late.
        with ThreadPoolExecutor(_COMMANDS_AT_ONCE) as posting:
            for posted in [posting.submit(self._decide, "/v1/commands", each, reason=reason) for each in given]:
                posted.result()

    def _decide(self, path: str, message: Signal | Request | Verdict | Command, **documents: Json) -> None:
        try:
            self._desk.decide(path, message, **documents)
        except MarketProblem as problem:
            if problem.code in _ALREADY_DONE:
                return  # said before this desk was started again
            # One that is refused stops none of the others: commands to other nanogrids, verdicts on other offers.
            log.error("refused", decision=type(message).__name__, code=problem.code, problem=problem.describe())
