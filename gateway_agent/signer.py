"""Everything that a gateway signs, and the one place where its keys are used."""

from __future__ import annotations

from dataclasses import dataclass

from market.domain.gateway_key import GatewayKey
from market.domain.messages import Bid, Reading
from market.domain.signing import sign_message
from market.domain.typed_data import Domain
from oracle.messages import Liveness, PlantSummary, Quality, SignedAcknowledgement, SignedReading, Status


@dataclass(frozen=True)
class Signer:
    """Signs for one gateway: its own messages with its own key, bids with the seat's delegate or owner key, which is a
    secp256k1 key."""

    identity: GatewayKey
    nanogrid: int
    settlement: Domain
    auction: Domain
    bidder: GatewayKey | None = None

    @property
    def gateway(self) -> str:
        """The gateway's address as topics and seals have it: in lower case."""
        return self.identity.address.lower()

    def reading(self, reading: Reading, previous_hash: str, quality: Quality) -> SignedReading:
        """The reading, signed, as the next link of the hash chain."""
        signature = self.identity.sign_message(reading, self.settlement)
        return SignedReading(
            nanogrid=reading.nanogrid,
            interval=reading.interval,
            active_energy_wh=reading.active_energy_wh,
            reactive_energy_varh=reading.reactive_energy_varh,
            sequence=reading.sequence,
            previous_hash=previous_hash,
            quality=quality,
            signature="0x" + signature.hex(),
        )

    def acknowledgement(self, dispatch: str, state: str, at: int, reason: str) -> SignedAcknowledgement:
        """The state of a dispatch since `at` [epoch s]."""
        return SignedAcknowledgement.signed(
            self.identity,
            self.settlement,
            nanogrid=self.nanogrid,
            dispatch=dispatch,
            state=state,
            at=at,
            reason=reason,
        )

    def status(
        self,
        state: Liveness,
        at: int,
        software_version: str,
        sequence: int,
        soc_permille: dict[str, int],
        plant: PlantSummary,
    ) -> Status:
        """Birth, goodbye or last will."""
        return Status.sealed(
            self.identity,
            self.settlement,
            gateway=self.gateway,
            nanogrid=self.nanogrid,
            state=state,
            at=at,
            software_version=software_version,
            sequence=sequence,
            soc_permille=soc_permille,
            plant=plant,
        )

    def bid(self, bid: Bid) -> tuple[str, str]:
        """Digest and signature (65 bytes) of a bid, both 0x hex; ValueError without a bidding key."""
        if self.bidder is None:
            raise ValueError("this gateway has no key that signs bids")
        signature = sign_message(self.bidder.private_key, bid, self.auction)
        return "0x" + bid.digest(self.auction).hex(), signature.hex()
