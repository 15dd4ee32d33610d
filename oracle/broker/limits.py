"""What every broker of ours takes, the embedded one and Mosquitto alike."""

from __future__ import annotations

from typing import Final

from oracle.messages import MAX_PAYLOAD_BYTES, Channel

MAX_PACKET_BYTES: Final = 4 * MAX_PAYLOAD_BYTES
"""Room above a message's own limit: one that is somewhat too large still reaches the oracle, which says so."""

TO_ORACLE: Final = frozenset({Channel.READINGS, Channel.ACKS, Channel.STATUS})
"""What gateways publish, each below its own name, and the oracle reads."""
TO_GATEWAY: Final = frozenset({Channel.RECEIPTS, Channel.DISPATCH, Channel.PLAN})
"""What the oracle publishes, and each gateway reads below its own name."""
