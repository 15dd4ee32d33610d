"""What a day brought: counted from the chain's events and the gateways' own readings, with and without the market."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from market.domain.products import Phase, SignalKind
from market.domain.records import unpack_awards, unpack_bids
from market.domain.settlement import Outcome
from market.grid.network import load_network
from market.grid.powerflow import GridState, Injection, PowerFlow
from scripts.demo.checker.evidence import Evidence
from scripts.demo.scenario import DayRun, Scenario, grid_states, without_market

SECONDS_PER_HOUR: Final = 3600
RATED_PERCENT: Final = 100.0


@dataclass(frozen=True)
class GridDay:
    """The grid over the day. overload_kwh: energy above the transformer's rating; voltages in p.u. of nominal."""

    loading_percent: list[float]
    overload_kwh: float
    overloaded_intervals: int
    highest_loading_percent: float
    lowest_voltage_pu: float
    highest_voltage_pu: float

    @property
    def worst_voltage_pu(self) -> float:
        """The voltage farthest from nominal."""
        return max((self.lowest_voltage_pu, self.highest_voltage_pu), key=lambda voltage: abs(voltage - 1))


@dataclass(frozen=True)
class DayReport:
    """The figures of a day. Energies in Wh, money in micro-euro, prices in micro-euro per kWh."""

    grid: str
    day: str
    seed: int
    transformer_kva: float
    nanogrids: int
    intervals: int
    intervals_by_phase: dict[str, int]
    intervals_actually_red: int
    requests: int
    offers: int
    bids: int
    bids_skipped: int
    awards_by_outcome: dict[str, int]
    awards_rejected: int
    partial_awards: int
    commands: int
    energy_asked_wh: int
    energy_awarded_wh: int
    energy_delivered_wh: int
    commanded_wh: int
    escrowed_ueur: int
    paid_ueur: int
    command_pay_ueur: int
    margin_ueur: int
    refunded_ueur: int
    penalties_ueur: int
    with_market: GridDay
    without_market: GridDay
    series: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def report_of(scenario: Scenario, intervals: Sequence[int], evidence: Evidence) -> DayReport:
    """The report of the intervals that were played."""
    power_flow = PowerFlow(load_network(scenario.grid, scenario.transformer_kva))
    counterfactual = without_market(scenario, power_flow)
    with_states = _states_by_readings(scenario, intervals, evidence, power_flow, counterfactual)
    places = [counterfactual.intervals.index(interval) for interval in intervals]
    without_states = [counterfactual.states[place] for place in places]
    phases = _phases(evidence, SignalKind.FORECAST)
    actual = _phases(evidence, SignalKind.ACTUAL)
    prices = marginal_prices(evidence)
    settled = evidence.named("AwardSettled")
    commands = evidence.named("CommandSettled")
    rejected = _rejected(evidence)
    return DayReport(
        grid=scenario.name,
        day=scenario.day.isoformat(),
        seed=scenario.seed,
        transformer_kva=scenario.transformer_kva,
        nanogrids=len(scenario.nanogrids),
        intervals=len(intervals),
        intervals_by_phase=_count_phases(phases, intervals),
        intervals_actually_red=sum(actual.get(interval) is Phase.RED for interval in intervals),
        requests=len(evidence.named("RequestPublished")),
        offers=len(evidence.named("OfferOpened")),
        bids=sum(len(event.arguments["records"][2:]) // 24 for event in evidence.named("BidsPosted")),
        bids_skipped=len(evidence.named("BidSkipped")),
        awards_by_outcome=dict(Counter(Outcome(event.arguments["outcome"]).name for event in settled)),
        awards_rejected=rejected,
        partial_awards=_partial_awards(evidence),
        commands=len(evidence.named("CommandGiven")),
        energy_asked_wh=sum(sum(event.arguments["quantities"]) for event in evidence.named("RequestPublished")),
        energy_awarded_wh=sum(event.arguments["awarded"] for event in settled),
        energy_delivered_wh=sum(event.arguments["delivered"] for event in settled),
        commanded_wh=sum(event.arguments["quantity"] for event in evidence.named("CommandGiven")),
        escrowed_ueur=sum(event.arguments["escrowUeur"] for event in evidence.named("RequestPublished")),
        paid_ueur=sum(event.arguments["paidUeur"] for event in settled),
        command_pay_ueur=sum(event.arguments["paidUeur"] for event in commands),
        margin_ueur=sum(event.arguments["marginUeur"] for event in settled),
        refunded_ueur=sum(event.arguments["refundedUeur"] for event in settled)
        + sum(event.arguments["amountUeur"] for event in evidence.named("RequestReclaimed")),
        penalties_ueur=sum(event.arguments["penaltyUeur"] for event in settled),
        with_market=_grid_day(with_states, scenario),
        without_market=_grid_day(without_states, scenario),
        series=[
            {
                "interval": interval,
                "phase": phases.get(interval, Phase.GREEN).name,
                "measured_phase": actual[interval].name if interval in actual else None,
                "loading_with_percent": round(after.transformer_loading_percent, 2),
                "loading_without_percent": round(before.transformer_loading_percent, 2),
                "marginal_price_ueur_kwh": prices.get(interval),
            }
            for interval, after, before in zip(intervals, with_states, without_states, strict=True)
        ],
    )


def missing_readings(scenario: Scenario, intervals: Sequence[int], evidence: Evidence) -> list[tuple[int, int]]:
    """(index of the nanogrid, interval) for which a gateway has kept no reading."""
    measured = {(reading.nanogrid & 0xFFFF, reading.interval) for reading in evidence.readings}
    wanted = [(point.index, interval) for interval in intervals for point in scenario.nanogrids]
    return [each for each in wanted if each not in measured]


def marginal_prices(evidence: Evidence) -> dict[int, int]:
    """Interval → highest price that was awarded [micro-euro per kWh]."""
    interval_of = {event.arguments["offer"]: event.arguments["interval"] for event in evidence.named("OfferOpened")}
    prices: dict[int, int] = {}
    for event in evidence.named("Finalised"):
        awards = unpack_awards(bytes.fromhex(event.arguments["awards"][2:]))
        if awards:
            prices[interval_of[event.arguments["offer"]]] = max(award.price_ueur_kwh for award in awards)
    return prices


def _states_by_readings(
    scenario: Scenario, intervals: Sequence[int], evidence: Evidence, power_flow: PowerFlow, undisturbed: DayRun
) -> tuple[GridState, ...]:
    """The grid as it was measured; where nothing was measured, as if nobody had been dispatched."""
    hours = scenario.step_s / SECONDS_PER_HOUR
    measured = {(reading.nanogrid & 0xFFFF, reading.interval): reading for reading in evidence.readings}
    net: dict[int, list[Injection]] = defaultdict(list)
    for interval in intervals:
        step = undisturbed.intervals.index(interval)
        for point in scenario.points:
            reading = measured.get((point.index, interval))
            if reading is not None:
                power = Injection(reading.active_energy_wh / hours, reading.reactive_energy_varh / hours)
            else:  # a passive point, or one whose reading is missing
                power = undisturbed.net[point.index][step]
            net[point.index].append(power)
    return grid_states(power_flow, {point.index: point.bus for point in scenario.points}, net)


def _grid_day(states: Sequence[GridState], scenario: Scenario) -> GridDay:
    loading = [state.transformer_loading_percent for state in states]
    hours = scenario.step_s / SECONDS_PER_HOUR
    voltages = [voltage for state in states for voltage in state.vm_pu.values()]
    return GridDay(
        loading_percent=[round(percent, 2) for percent in loading],
        overload_kwh=round(
            sum(max(0.0, percent - RATED_PERCENT) / 100 * scenario.transformer_kva * hours for percent in loading), 3
        ),
        overloaded_intervals=sum(percent > RATED_PERCENT for percent in loading),
        highest_loading_percent=round(max(loading), 2),
        lowest_voltage_pu=round(min(voltages), 4),
        highest_voltage_pu=round(max(voltages), 4),
    )


def _phases(evidence: Evidence, kind: SignalKind) -> Mapping[int, Phase]:
    latest: dict[int, tuple[int, Phase]] = {}
    for event in evidence.named("SignalSet"):
        arguments = event.arguments
        if arguments["kind"] == kind:
            known = latest.get(arguments["interval"], (-1, Phase.GREEN))
            latest[arguments["interval"]] = max(known, (arguments["sequence"], Phase(arguments["phase"])))
    return {interval: phase for interval, (_, phase) in latest.items()}


def _count_phases(phases: Mapping[int, Phase], intervals: Sequence[int]) -> dict[str, int]:
    counted = Counter(phases.get(interval, Phase.GREEN).name for interval in intervals)
    return {phase.name: counted.get(phase.name, 0) for phase in Phase}


def _rejected(evidence: Evidence) -> int:
    return sum(
        bin(int(event.arguments["rejected"][2:] or "0", 16)).count("1") for event in evidence.named("VerdictGiven")
    )


def _partial_awards(evidence: Evidence) -> int:
    """Awards that gave less than was bid."""
    records: dict[str, str] = defaultdict(str)
    for event in evidence.named("BidsPosted"):
        records[event.arguments["offer"]] += event.arguments["records"][2:]
    partial = 0
    for event in evidence.named("Finalised"):
        asked = {
            bid.position: bid.record.quantity for bid in unpack_bids(bytes.fromhex(records[event.arguments["offer"]]))
        }
        awards = unpack_awards(bytes.fromhex(event.arguments["awards"][2:]))
        partial += sum(award.quantity < asked[award.position] for award in awards)
    return partial
