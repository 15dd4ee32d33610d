"""Events of IGridSignals, IMeteringOracle and ICapacityRegister."""

from __future__ import annotations

from functools import partial

from market.domain.messages import CapacityContract
from market.domain.products import Product
from market.domain.trees import baseline_root
from market.domain.typed_data import Domain
from tests.attacks.arena import NO_REASON, Arena, gateway_key, nanogrid
from tests.attacks.emissions import Emitted, emits, emitted
from tests.attacks.refusals.signals import RESERVED, reserved_id
from tests.contracts_properties.auction_house import FIRST_MONTH, NO_SIGNATURE, NODE, PORTFOLIO, SEATS, U

REASON = b"\7" * 32
JULY = 1_782_864_000
"""First second of July 2026, UTC."""
signals, metering = partial(emits, "IGridSignals"), partial(emits, "IMeteringOracle")
capacity = partial(emits, "ICapacityRegister")


# IGRIDSIGNALS


@signals("SignalSet")
def _(arena: Arena) -> Emitted:
    told = {"node": NODE, "interval": arena.interval, "phase": 2, "kind": 1, "reason": REASON, "sequence": 9}
    call = arena.signals.functions.setSignal(tuple(told.values()), NO_SIGNATURE)
    return emitted(call, arena.dso, **told, author=arena.dso)


@signals("VerdictGiven")
def _(arena: Arena) -> Emitted:
    offer = arena.cleared()
    call = arena.signals.functions.giveVerdict((offer, b"\1", REASON), NO_SIGNATURE)
    return emitted(call, arena.dso, offer=offer, rejected=b"\1", reasons=REASON, author=arena.dso)


@signals("CommandGiven")
def _(arena: Arena) -> Emitted:
    arena.send(arena.signals.functions.setSignal((NODE, arena.interval, 2, 0, NO_REASON, 1), NO_SIGNATURE), arena.dso)
    told = {"nanogrid": nanogrid(1), "interval": arena.interval, "product": 5, "direction": 1, "quantity": 100}
    call = arena.signals.functions.giveCommand((*told.values(), REASON), NO_SIGNATURE)
    return emitted(call, arena.dso, **told, priceUeurKwh=300_000, reservedUeur=30_000, reason=REASON)


@signals("TsoRequestValidated")
def _(arena: Arena) -> Emitted:
    request = b"\6" * 32
    call = arena.signals.functions.validateTsoRequest(request, NODE, True, REASON, NO_SIGNATURE)
    return emitted(call, arena.dso, request=request, node=NODE, accepted=True, reason=REASON)


# IMETERINGORACLE


@metering("BaselineAnchored")
def _(arena: Arena) -> Emitted:
    root = baseline_root((5,) * SEATS)
    call = arena.metering.functions.anchorBaselines([(PORTFOLIO, arena.interval, 1, SEATS, root)])
    told = {"portfolio": PORTFOLIO, "interval": arena.interval, "kind": 1, "count": SEATS, "root": root}
    return emitted(call, arena.oracle, **told)


@metering("ReadingsAnchored")
def _(arena: Arena) -> Emitted:
    arena.at(arena.interval + U)
    call = arena.metering.functions.anchorReadings(arena.interval, REASON, 17)
    return emitted(call, arena.oracle, interval=arena.interval, root=REASON, count=17)


@metering("ReadingAnnounced")
def _(arena: Arena) -> Emitted:
    arena.at(arena.interval + U)
    reading = arena.reading(1, 5)
    energies = {"activeEnergyWh": reading.active_energy_wh, "reactiveEnergyVarh": reading.reactive_energy_varh}
    told = {"nanogrid": nanogrid(1), "interval": arena.interval, **energies, "sequence": reading.sequence}
    return emitted(arena.announcing(reading, gateway_key(1)), arena.relayer, **told, by=arena.relayer)


@metering("ReadingsAnnulled")
def _(arena: Arena) -> Emitted:
    call = arena.annulling(arena.reading(1, 5), arena.reading(1, 6), gateway_key(1))
    return emitted(call, arena.relayer, nanogrid=nanogrid(1), interval=arena.interval, by=arena.relayer)


# ICAPACITYREGISTER


@capacity("CapacityContractRegistered")
def _(arena: Arena) -> Emitted:
    given = CapacityContract(nanogrid(7), Product.VC_CAPACITY_Q, FIRST_MONTH + 1, 3, 1000, 11, 5)
    call = arena.capacity_register.functions.registerContract(given.arguments(), NO_SIGNATURE)
    domain = Domain(arena.web3.eth.chain_id, arena.capacity_register.address)
    told = {
        "id": given.digest(domain),
        "nanogrid": nanogrid(7),
        "product": Product.VC_CAPACITY_Q,
        "firstMonth": FIRST_MONTH + 1,
        "months": 3,
        "powerW": 1000,
        "availabilityPriceUeurKwH": 11,
        "dso": arena.dso,
    }
    return emitted(call, arena.dso, **told)


@capacity("AvailabilityPaid")
def _(arena: Arena) -> Emitted:
    arena.at(JULY)
    call = arena.capacity_register.functions.payAvailability(reserved_id(arena), FIRST_MONTH)
    hours = 30 * 24  # of June
    amount = RESERVED.power_w * RESERVED.availability_price_ueur_kw_h * hours // 1000
    return emitted(call, arena.anyone, id=reserved_id(arena), month=FIRST_MONTH, amountUeur=amount)


@capacity("AvailabilityForfeited")
def _(arena: Arena) -> Emitted:
    call = arena.capacity_register.functions.forfeitAvailability(reserved_id(arena), FIRST_MONTH, NO_SIGNATURE)
    return emitted(call, arena.dso, id=reserved_id(arena), month=FIRST_MONTH)
