"""Set-up on the chain and at the market: deployment, roles, money, nanogrids, delegates, gateways.

Everything after this is done by the parties themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Final

import httpx
from sqlalchemy import Engine
from web3.contract.contract import ContractFunction

from gateway_agent.enrolment import enrol
from market.chain.bindings import Contracts
from market.chain.sender import TransactionSender
from market.domain.enrolment_code import EnrolmentCode
from market.domain.gateway_key import KeyKind
from market.domain.messages import Delegation
from market.domain.signing import sign_message
from market.domain.units import nanogrid_id
from scripts.demo.households import EMERGENCY_PRICE_UEUR_KWH, LOWEST_PRICE_UEUR_KWH, Household
from scripts.demo.keys import KeyRing
from scripts.demo.layout import Layout
from scripts.demo.scenario import PORTFOLIO

NODE: Final = 1
DSO_DEPOSIT_UEUR: Final = 2_000_000_000
AGGREGATOR_DEPOSIT_UEUR: Final = 50_000_000
DELEGATE_DAYS: Final = 30
CODE_LIFETIME_S: Final = 30 * 86_400
P256_EVERY: Final = 5
"""Every so many gateways have a P-256 key: both kinds take part."""
_SECONDS_A_DAY: Final = 86_400

Call = tuple[ContractFunction, str]


class Registrar:
    """The operator at work, with its own key; repeatable, because each step's purpose is named."""

    def __init__(self, contracts: Contracts, engine: Engine, keys: KeyRing, now_s: int, seated_from: int) -> None:
        """`seated_from`: the first interval of the nanogrids, after `now_s` [epoch s]."""
        self._contracts = contracts
        self._keys = keys
        self._now_s = now_s
        self._seated_from = seated_from
        self._operator = TransactionSender(contracts, engine, keys.key("operator"), now=lambda: now_s)

    def register(self, node_name: str, households: Sequence[Household]) -> None:
        """Roles, node, portfolio, nanogrids, deposits, bonds and delegates."""
        self._send(self._roles(households))
        self._in_order(self._node(node_name))
        self._send([self._seat(household) for household in households])
        self._in_order(self._deposits(households))
        self._send([self._bond(household) for household in households])
        self._send([self._delegation(household) for household in households if not household.signs_by_hand])

    def open_enrolments(self, indices: Sequence[int]) -> dict[int, EnrolmentCode]:
        """A one-time code for each of these nanogrids' gateways, opened on the chain."""
        codes = {index: EnrolmentCode.new(nanogrid_id(PORTFOLIO, index)) for index in indices}
        settlement = self._contracts.settlement.functions
        self._send(
            [
                (
                    settlement.openEnrolment(code.nanogrid, code.address, self._now_s + CODE_LIFETIME_S),
                    f"code:{code.address}",
                )
                for code in codes.values()
            ]
        )
        return codes

    def _send(self, calls: Sequence[Call]) -> None:
        self._operator.send_all([(function, function.fn_name, f"setup:{key}") for function, key in calls])

    def _in_order(self, calls: Sequence[Call]) -> None:
        """For calls of which each needs the one before."""
        for call in calls:
            self._send([call])

    def _roles(self, households: Sequence[Household]) -> list[Call]:
        holders = [(role.upper(), self._keys.address(role)) for role in ("oracle", "referee", "dso", "aggregator")]
        holders += [("PROSUMER", self._keys.address(f"owner-{household.index}")) for household in households]
        registry = self._contracts.registry
        return [
            (registry.functions.grantRole(self._contracts.web3.keccak(text=role), account), f"role:{role}:{account}")
            for role, account in holders
        ]

    def _node(self, name: str) -> list[Call]:
        registry = self._contracts.registry.functions
        return [
            (registry.registerNode(NODE, self._keys.address("dso"), name), "node"),
            (
                registry.registerPortfolio(PORTFOLIO, NODE, self._keys.address("aggregator"), f"Community {name}"),
                "portfolio",
            ),
        ]

    def _seat(self, household: Household) -> Call:
        owner = self._keys.address(f"owner-{household.index}")
        function = self._contracts.registry.functions.registerSeat(
            PORTFOLIO, owner, household.nanogrid.rated_power_w, EMERGENCY_PRICE_UEUR_KWH, self._seated_from
        )
        return function, f"seat:{household.index}"

    def _deposits(self, households: Sequence[Household]) -> list[Call]:
        """The operator has received real money of the others and books it for them."""
        settlement, token = self._contracts.settlement, self._contracts.token
        total = DSO_DEPOSIT_UEUR + AGGREGATOR_DEPOSIT_UEUR + sum(household.bond_ueur for household in households)
        operator = self._keys.address("operator")
        reference = self._contracts.web3.keccak(text="bank transfers")
        deposits = {"dso": DSO_DEPOSIT_UEUR, "aggregator": AGGREGATOR_DEPOSIT_UEUR}
        return [
            (token.functions.mint(operator, total, reference), "mint"),
            (token.functions.approve(settlement.address, total), "approve"),
            *(
                (settlement.functions.deposit(self._keys.address(role), amount_ueur), f"deposit:{role}")
                for role, amount_ueur in deposits.items()
            ),
        ]

    def _bond(self, household: Household) -> Call:
        nanogrid = nanogrid_id(PORTFOLIO, household.index)
        return self._contracts.settlement.functions.fundBond(nanogrid, household.bond_ueur), f"bond:{household.index}"

    def _delegation(self, household: Household) -> Call:
        delegation = Delegation(
            nanogrid=nanogrid_id(PORTFOLIO, household.index),
            signer=self._keys.address(f"delegate-{household.index}"),
            expiry_day=self._now_s // _SECONDS_A_DAY + DELEGATE_DAYS,
            lowest_price_ueur_kwh=LOWEST_PRICE_UEUR_KWH,
            largest_quantity=household.largest_quantity_wh,
            cover_cents=household.cover_cents,
            nonce=0,
        )
        owner = self._keys.key(f"owner-{household.index}")
        signature = sign_message(owner, delegation, self._contracts.domain_of(delegation)).to_bytes()
        function = self._contracts.registry.functions.setDelegate(delegation.arguments(), signature)
        return function, f"delegate:{household.index}"


def enrol_gateways(
    layout: Layout,
    codes: Mapping[int, EnrolmentCode],
    market_url: str,
    told: Callable[[str], None],
    at_once: int = 1,
) -> None:
    """Enrol each gateway with its code, as its installer would.

    told: how many are; at_once: how many enrol at the same time, where each waits for blocks.
    """

    def enrol_one(index: int, code: EnrolmentCode) -> None:
        kind = KeyKind.P256 if index % P256_EVERY == P256_EVERY - 1 else KeyKind.SECP256K1
        enrol(layout.gateway(index), code.text, market_url, client, kind)

    with httpx.Client(timeout=60.0) as client, ThreadPoolExecutor(at_once) as pool:
        enrolling = [pool.submit(enrol_one, index, code) for index, code in codes.items()]
        for number, done in enumerate(as_completed(enrolling), 1):
            done.result()
            told(f"{number} of {len(codes)}")
