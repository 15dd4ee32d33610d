"""The whole reference model: the seven contracts' rules, made of market.domain, behind one door for calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from market.chain.deployment import Deployment
from market.domain.calendar import Calendar
from market.domain.typed_data import Domain, snake_case
from tests.stateful.model.auction import AuctionModel
from tests.stateful.model.awards import AwardsModel
from tests.stateful.model.bids import BidJudge
from tests.stateful.model.capacity import CapacityModel
from tests.stateful.model.ledger import LedgerModel
from tests.stateful.model.metering import MeteringModel
from tests.stateful.model.refusal import Context
from tests.stateful.model.registry import Governance, RegistryModel
from tests.stateful.model.settlement import SettlementModel
from tests.stateful.model.signals import SignalsModel
from tests.stateful.model.token import TokenModel

Event = tuple[Any, ...]


@dataclass
class MarketModel:
    """What the contracts should say and hold."""

    context: Context
    calendar: Calendar
    registry: RegistryModel
    signals: SignalsModel
    capacity: CapacityModel
    auction: AuctionModel
    metering: MeteringModel
    settlement: SettlementModel
    awards: AwardsModel
    token: TokenModel

    @classmethod
    def of(cls, deployment: Deployment, operator: str, now: int) -> MarketModel:
        """The model of a fresh deployment."""
        addresses, parameters = deployment.addresses, deployment.parameters
        context = Context(now, {name: Domain(deployment.chain_id, address) for name, address in addresses.items()})
        calendar = Calendar(parameters.time_unit_s, parameters.reading_deadline_s)
        governance = Governance(operator, parameters.admin_delay_s)
        registry = RegistryModel(
            context, parameters.time_unit_s, addresses["Settlement"], parameters.unbonding_s, governance
        )
        token = TokenModel(context, registry)
        signals = SignalsModel(context, registry, calendar)
        capacity = CapacityModel(context, registry)
        metering = MeteringModel(context, registry, calendar)
        ledger = LedgerModel(context, registry)
        settlement = SettlementModel(
            context, registry, token, calendar, parameters, addresses["Settlement"], addresses, ledger
        )
        judge = BidJudge(context, registry, capacity)
        auction = AuctionModel(
            context=context,
            registry=registry,
            signals=signals,
            settlement=settlement,
            calendar=calendar,
            metering=metering,
            bid_judge=judge,
        )
        for part in (signals, capacity, metering):
            part.settlement = settlement
        signals.auction = settlement.auction = auction
        settlement.signals, settlement.metering = signals, metering
        awards = AwardsModel(context, settlement)
        return cls(context, calendar, registry, signals, capacity, auction, metering, settlement, awards, token)

    @property
    def now(self) -> int:
        return self.context.now

    def call(self, contract: str, function: str, sender: str, arguments: tuple[Any, ...]) -> list[Event]:
        """The events of a call; Refused where a rule forbids it, with nothing changed."""
        self.context.events = []
        getattr(self._part(contract, function), snake_case(function))(sender, *arguments)
        return self.context.events

    def _part(self, contract: str, function: str) -> object:
        if contract == "Settlement" and hasattr(AwardsModel, snake_case(function)):
            return self.awards
        if function in ("changeSeatOwner", "completeSeatTransfer"):
            return self.settlement
        return {
            "ParticipantRegistry": self.registry,
            "GridSignals": self.signals,
            "CapacityRegister": self.capacity,
            "MeritOrderAuction": self.auction,
            "MeteringOracle": self.metering,
            "Settlement": self.settlement,
            "SettlementToken": self.token,
        }[contract]
