"""From the meter's registers to signed readings: one for each interval, in a hash chain, never twice."""

from __future__ import annotations

from dataclasses import asdict

from gateway_agent.buffer import Buffer
from gateway_agent.drivers import Json, Registers
from gateway_agent.safety import is_plausible
from gateway_agent.signer import Signer
from market.domain.messages import Reading
from oracle.messages import Quality, SignedReading


class ImplausibleMeasurement(Exception):
    """Registers that cannot be true: they are not signed."""


def opening_from(document: Json | None) -> Registers | None:
    """Registers at the start of the running interval, as they were stored."""
    return None if document is None else Registers(**document)


def opening_to(registers: Registers | None) -> Json | None:
    """The same for the buffer."""
    return None if registers is None else asdict(registers)


def next_reading(
    buffer: Buffer, signer: Signer, opening: Registers | None, closing: Registers, time_unit_s: int, connection_w: int
) -> SignedReading | None:
    """The signed reading of the interval that ends at `closing`; None when its start was not measured or it is there.

    Raises ImplausibleMeasurement.
    """
    interval = closing.at - time_unit_s
    if opening is None or opening.at != interval or buffer.has_reading(interval):
        return None
    active_wh = closing.active_wh - opening.active_wh
    reactive_varh = closing.reactive_varh - opening.reactive_varh
    if not is_plausible(active_wh, reactive_varh, time_unit_s, connection_w):
        raise ImplausibleMeasurement(f"{active_wh} Wh, {reactive_varh} varh in {time_unit_s} s behind {connection_w} W")
    head = buffer.head()
    message = Reading(signer.nanogrid, interval, active_wh, reactive_varh, head.sequence + 1)
    return signer.reading(message, head.entry_hash, Quality.MEASURED)
