"""Energy: every award follows the merit order, ends once, and is paid by the reading that its gateway signed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from market.domain.gateway_key import gateway_of_message
from market.domain.merit_order import clear_greedy, without_rejected
from market.domain.messages import Reading
from market.domain.products import Direction, Kind, Phase, Product, Side, SignalKind
from market.domain.records import AwardRecord, rejected_positions, unpack_awards, unpack_bids
from market.domain.settlement import (
    AwardSettlement,
    AwardTerms,
    Outcome,
    amount_ueur,
    command_due_ueur,
    delivered,
    interrupted,
    settle_annulled,
    settle_award,
    settle_missing,
    settle_revoked,
)
from market.domain.traffic_light import red_since
from market.domain.typed_data import Domain
from market.domain.units import nanogrid_id, portfolio_of
from scripts.demo.checker.evidence import Event, Evidence, OwnReading


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer as its awards are checked. offer: its id; request_price_ueur_kwh: None without a request."""

    offer: str
    portfolio: int
    interval: int
    side: Side
    direction: Direction
    kind: Kind
    quantity: int
    request_price_ueur_kwh: int | None


def check_merit_order(evidence: Evidence) -> Iterator[str]:
    """The final awards are those of the Python reference over the posted records and the DSO's verdict."""
    records = posted_records(evidence)
    rejected = {
        event.arguments["offer"]: rejected_positions(bytes.fromhex(event.arguments["rejected"][2:]))
        for event in evidence.named("VerdictGiven")
    }
    again = {event.arguments["offer"] for event in evidence.named("Cleared") if event.arguments["again"]}
    offers = offers_of(evidence)
    for event in evidence.named("Finalised"):
        offer = offers[event.arguments["offer"]]
        bids = unpack_bids(records[offer.offer])
        turned_down = rejected.get(offer.offer, frozenset())
        if offer.offer in again:
            expected = clear_greedy(offer.quantity, offer.side, bids, turned_down).awards
        else:
            expected = without_rejected(clear_greedy(offer.quantity, offer.side, bids).awards, turned_down)
        if tuple(awards_of(event)) != tuple(expected):
            yield f"offer {offer.offer}: the final awards are not those of the merit order"


def check_awards_end(evidence: Evidence) -> Iterator[str]:
    """Every final award ends exactly once, for the quantity awarded, and nothing else is settled."""
    settled: dict[tuple[str, int], list[Event]] = defaultdict(list)
    for event in evidence.named("AwardSettled"):
        settled[event.arguments["offer"], event.arguments["ordinal"]].append(event)
    offers = offers_of(evidence)
    for event in evidence.named("Finalised"):
        offer = offers[event.arguments["offer"]]
        for ordinal, award in enumerate(awards_of(event)):
            ends = settled.pop((offer.offer, ordinal), [])
            if len(ends) != 1:
                yield f"offer {offer.offer}, award {ordinal}: ended {len(ends)} times"
                continue
            nanogrid = nanogrid_id(offer.portfolio, award.index)
            end = ends[0].arguments
            if (end["nanogrid"], end["awarded"]) != (nanogrid, award.quantity):
                yield (
                    f"offer {offer.offer}, award {ordinal}: {award.quantity} awarded to {nanogrid}, "
                    f"{end['awarded']} settled for {end['nanogrid']}"
                )
    for offer_id, ordinal in settled:
        yield f"offer {offer_id}, award {ordinal}: settled, but not among the final awards"


def check_settlements(evidence: Evidence) -> Iterator[str]:
    """Each settlement follows from baseline and reading by the published rules; the reading is its gateway's own."""
    prices = _award_prices(evidence)
    own = {(reading.nanogrid, reading.interval): reading for reading in evidence.readings}
    gateways = _gateways(evidence)
    offers = offers_of(evidence)
    late = _late_commands(evidence)
    for event in evidence.named("AwardSettled"):
        end = event.arguments
        offer = offers[end["offer"]]
        price = prices.get((end["offer"], end["ordinal"]))
        if price is None:
            continue  # named by check_awards_end
        terms = AwardTerms(offer.side, offer.direction, end["awarded"], price, offer.request_price_ueur_kwh)
        name = f"offer {offer.offer}, award {end['ordinal']}"
        reading = own.get((end["nanogrid"], offer.interval))
        if reading is not None and _has_expired(evidence, event, offer.interval):
            reading = None  # the stated reason: the chain had none by the deadline
        is_interrupted = (end["nanogrid"], offer.interval) in late
        yield from (f"{name}: {finding}" for finding in _check_end(end, terms, offer, reading, is_interrupted))
        if reading is not None and not _is_signed(evidence, reading, gateways.get(reading.nanogrid)):
            yield f"{name}: the gateway's reading does not carry its signature"


def commands_not_ended(evidence: Evidence) -> Iterator[str]:
    """RED commands that nothing has settled yet."""
    ended = {_commanded(event) for event in evidence.named("CommandSettled")}
    for nanogrid, interval in map(_commanded, evidence.named("CommandGiven")):
        if (nanogrid, interval) not in ended:
            yield f"the command to {nanogrid} for {interval} has not ended"


def _commanded(event: Event) -> tuple[int, int]:
    """(nanogrid, interval) of a command that was given or settled: a nanogrid has one of an interval."""
    return event.arguments["nanogrid"], event.arguments["interval"]


def check_commands(evidence: Evidence) -> Iterator[str]:
    """Every RED command ends once, and is paid for what its gateway's own reading shows against the baseline."""
    own = {(reading.nanogrid, reading.interval): reading for reading in evidence.readings}
    late, paid_by_awards = _late_commands(evidence), _paid_by_active_awards(evidence)
    beside = _active_awards(evidence)
    ends: dict[tuple[int, int], list[Event]] = defaultdict(list)
    for event in evidence.named("CommandSettled"):
        ends[_commanded(event)].append(event)
    for given in evidence.named("CommandGiven"):
        command, key = given.arguments, _commanded(given)
        name = f"command to {key[0]} for {key[1]}"
        if len(ends[key]) != 1:
            yield f"{name}: ended {len(ends[key])} times"
            continue
        end, reading = ends[key][0].arguments, own.get(key)
        expected = 0
        if _has_expired(evidence, ends[key][0], command["interval"]):
            reading = None
        if reading is not None:
            expected = delivered(
                command["quantity"], Direction(command["direction"]), end["baseline"], reading.active_energy_wh
            )
        if end["delivered"] != expected:
            yield f"{name}: {end['delivered']} settled, the reading shows {expected}"
        # What an award gets by the same reading that had begun before RED is its own escrow's to pay.
        paid_ueur = paid_by_awards[key] if key in late else 0
        least_ueur = amount_ueur(expected, command["priceUeurKwh"]) - paid_ueur
        most_ueur = max(0, command_due_ueur(expected, command["priceUeurKwh"], beside.get(key)) - paid_ueur)
        # Less than the most where the award had ended before the command was settled (upheld hold).
        if not least_ueur <= end["paidUeur"] + end["unpaidUeur"] <= most_ueur:
            due = f"{most_ueur}" if least_ueur == most_ueur else f"{least_ueur} to {most_ueur}"
            yield f"{name}: {end['paidUeur']} paid and {end['unpaidUeur']} owed of {due}"


def _late_commands(evidence: Evidence) -> set[tuple[int, int]]:
    """(nanogrid, interval) of the commands on a RED that came only after the interval had begun."""
    red = red_times(evidence)
    late = set()
    for nanogrid, interval in map(_commanded, evidence.named("CommandGiven")):
        since = red.get((portfolio_of(nanogrid), interval))
        if since is not None and since >= interval:
            late.add((nanogrid, interval))
    return late


def red_times(evidence: Evidence) -> dict[tuple[int, int], int]:
    """(portfolio, interval) → since when the portfolio's node is RED in it [epoch s]; without those that are not."""
    portfolios: dict[int, list[int]] = defaultdict(list)
    for event in evidence.named("PortfolioRegistered"):
        portfolios[event.arguments["node"]].append(event.arguments["portfolio"])
    settings: dict[tuple[int, int], list[tuple[SignalKind, Phase, int]]] = defaultdict(list)
    for event in evidence.named("SignalSet"):
        said = event.arguments
        settings[said["node"], said["interval"]].append((SignalKind(said["kind"]), Phase(said["phase"]), event.at))
    since = {key: red_since(said, key[1]) for key, said in settings.items()}
    return {
        (portfolio, interval): at
        for (node, interval), at in since.items()
        if at is not None
        for portfolio in portfolios[node]
    }


def _active_awards(evidence: Evidence) -> dict[tuple[int, int], AwardTerms]:
    """(nanogrid, interval) → its final award of active energy."""
    offers = offers_of(evidence)
    found = {}
    for event in evidence.named("Finalised"):
        offer = offers[event.arguments["offer"]]
        for award in awards_of(event) if offer.kind is Kind.ACTIVE else ():
            found[nanogrid_id(offer.portfolio, award.index), offer.interval] = AwardTerms(
                offer.side, offer.direction, award.quantity, award.price_ueur_kwh, offer.request_price_ueur_kwh
            )
    return found


def _paid_by_active_awards(evidence: Evidence) -> Counter[tuple[int, int]]:
    """(nanogrid, interval) → what its award of active energy was paid. [micro-euro]"""
    offers = offers_of(evidence)
    paid: Counter[tuple[int, int]] = Counter()
    for event in evidence.named("AwardSettled"):
        offer = offers[event.arguments["offer"]]
        if offer.side is Side.BUY and offer.kind is Kind.ACTIVE:
            paid[event.arguments["nanogrid"], offer.interval] += event.arguments["paidUeur"]
    return paid


def check_sold_once(evidence: Evidence) -> Iterator[str]:
    """A nanogrid sells an interval once for each kind of energy."""
    seen: set[tuple[int, int, Kind]] = set()
    offers = offers_of(evidence)
    for event in evidence.named("Finalised"):
        offer = offers[event.arguments["offer"]]
        for award in awards_of(event):
            sale = (nanogrid_id(offer.portfolio, award.index), offer.interval, offer.kind)
            if sale in seen:
                yield f"nanogrid {sale[0]} won interval {sale[1]} twice"
            seen.add(sale)


def _has_expired(evidence: Evidence, event: Event, interval: int) -> bool:
    """Whether an award or command ended without a reading, as it may once the deadline for readings is over."""
    is_empty = event.arguments["baseline"] == event.arguments["metered"] == 0
    return is_empty and event.at >= interval + evidence.reading_deadline_s


def _check_end(
    end: Mapping[str, int], terms: AwardTerms, offer: Offer, reading: OwnReading | None, is_interrupted: bool
) -> Iterator[str]:
    outcome = Outcome(end["outcome"])
    metered = None
    if outcome is Outcome.REVOKED and not is_interrupted:
        expected = settle_revoked(terms)
    elif outcome is Outcome.ANNULLED:
        expected = settle_annulled(terms)
    elif reading is None:
        expected = settle_missing(terms)
    else:
        metered = reading.active_energy_wh if offer.kind is Kind.ACTIVE else reading.reactive_energy_varh
        expected = settle_award(terms, end["baseline"], metered)
    if is_interrupted and outcome is not Outcome.ANNULLED:
        expected = interrupted(expected)
    if metered is not None and metered != end["metered"]:
        yield f"settled with {end['metered']}, the gateway measured {metered}"
    given = (end["delivered"], end["paidUeur"], end["marginUeur"], end["refundedUeur"], end["penaltyUeur"])
    if (outcome, *given) != (expected.outcome, *_amounts(expected)):
        yield f"settled as {outcome.name} {given}, the rules give {expected.outcome.name} {_amounts(expected)}"


def _amounts(settlement: AwardSettlement) -> tuple[int, int, int, int, int]:
    return (
        settlement.delivered,
        settlement.paid_ueur,
        settlement.margin_ueur,
        settlement.refunded_ueur,
        settlement.penalty_ueur,
    )


def _is_signed(evidence: Evidence, reading: OwnReading, gateway: str | None) -> bool:
    message = Reading(
        reading.nanogrid,
        reading.interval,
        reading.active_energy_wh,
        reading.reactive_energy_varh,
        reading.sequence,
    )
    return gateway_of_message(message, Domain(evidence.chain_id, evidence.settlement), reading.signature) == gateway


def _gateways(evidence: Evidence) -> dict[int, str]:
    return {event.arguments["nanogrid"]: event.arguments["gateway"] for event in evidence.named("GatewayChanged")}


def offers_of(evidence: Evidence) -> dict[str, Offer]:
    """Every offer that was opened, by its id."""
    prices = {
        event.arguments["request"]: event.arguments["priceUeurKwh"] for event in evidence.named("RequestPublished")
    }
    return {
        event.arguments["offer"]: Offer(
            offer=event.arguments["offer"],
            portfolio=event.arguments["portfolio"],
            interval=event.arguments["interval"],
            side=Side(event.arguments["side"]),
            direction=Direction(event.arguments["direction"]),
            kind=Product(event.arguments["product"]).kind,
            quantity=event.arguments["quantity"],
            request_price_ueur_kwh=prices.get(event.arguments["request"]),
        )
        for event in evidence.named("OfferOpened")
    }


def posted_records(evidence: Evidence) -> dict[str, bytes]:
    """The records of the bids that the chain took in, one after the other, by offer."""
    records: dict[str, bytes] = defaultdict(bytes)
    for event in evidence.named("BidsPosted"):
        records[event.arguments["offer"]] += bytes.fromhex(event.arguments["records"][2:])
    return records


def awards_of(finalised: Event) -> list[AwardRecord]:
    """The awards that a Finalised event names."""
    return unpack_awards(bytes.fromhex(finalised.arguments["awards"][2:]))


def _award_prices(evidence: Evidence) -> dict[tuple[str, int], int]:
    return {
        (event.arguments["offer"], ordinal): award.price_ueur_kwh
        for event in evidence.named("Finalised")
        for ordinal, award in enumerate(awards_of(event))
    }
