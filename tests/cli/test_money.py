"""Owners, aggregator, verifier and referee at the command line: bonds, delegates, pay, holds, statements."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from market.domain.records import BidRecord
from market.domain.signing import address_of
from market.services import rounds
from tests.chain.world import EUR, U, before, gateway_key, nanogrid, owner_key
from tests.cli.conftest import Room, Run
from tests.cli.test_operator import at, done
from tests.cli.test_trading import T, open_offer, sign_and_send

DELEGATE = gateway_key(99)


def settled_award(room: Room, meritgrid: Run, *, settle: bool = True) -> str:
    """An offer whose nanogrid 0 won 1,500 Wh at 100,000 and 1 won 500 Wh at 200,000; 0 delivered it, 1 only 100 Wh."""
    offer = open_offer(room, meritgrid)
    sign_and_send(room, meritgrid, offer, 0, 100_000, 1500)
    sign_and_send(room, meritgrid, offer, 1, 200_000, 1500)
    room.world.at(before(T, 145))
    rounds.run_due(room.market)
    room.world.at(before(T, 120))
    rounds.run_due(room.market)
    room.world.at(before(T, 93))
    rounds.run_due(room.market)
    room.world.at(T + U + U // 3)
    if settle:
        room.world.settle(bytes.fromhex(offer[2:]), T, awards_of(room, offer), {0: 1500, 1: 100})
        room.market.index()
    return offer


def awards_of(room: Room, offer: str) -> bytes:
    from sqlalchemy import select

    from market.store.projections import Award

    with room.market.reading() as session:
        rows = session.scalars(select(Award).where(Award.offer == offer).order_by(Award.ordinal)).all()
        return b"".join(row.record for row in rows)


def test_an_owner_sees_how_its_award_was_computed_and_takes_its_pay(room: Room, meritgrid: Run) -> None:
    settled_award(room, meritgrid)
    owner = at(room, "owner-0")
    [settlement] = done(meritgrid("account", "settlements", *owner)).document["items"]
    assert (settlement["outcome"], settlement["delivered"], settlement["paid_ueur"]) == ("DELIVERED", 1500, 150_000)
    assert settlement["computation"]["agrees"]
    assert settlement["computation"]["steps"][0]["calculation"] == "min(1500, max(0, (0 − 1500) × (-1)))"
    text = meritgrid("account", "settlements", *owner[:-1])
    assert "floor(1500 × 100000 / 1000) = 150000 micro-euro" in " ".join(text.out.split())

    done(meritgrid("account", "pay-out", "--nanogrid", nanogrid(0), *owner))
    assert done(meritgrid("account", "show", *owner)).document["token_balance_ueur"] == 150_000
    nothing_left = meritgrid("account", "pay-out", "--nanogrid", nanogrid(0), *owner)
    assert nothing_left.code == 2
    [short] = done(meritgrid("account", "settlements", *at(room, "owner-1"))).document["items"]
    assert (short["outcome"], short["penalty_ueur"]) == ("SHORT", 350 * 200_000 * 3 // 2000)
    assert short["computation"]["agrees"]
    everybodys = done(meritgrid("account", "settlements", *at(room, "aggregator"))).document["items"]
    assert [row["nanogrid"] for row in everybodys] == [nanogrid(0), nanogrid(1)]


def test_the_aggregator_sees_what_a_request_brings_it(room: Room, meritgrid: Run) -> None:
    from market.desks.market_client import MarketClient
    from tests.chain.world import KEYS

    settled_award(room, meritgrid)
    with MarketClient(room.url, private_key="0x" + KEYS["aggregator"].hex()) as aggregator:
        [request] = aggregator.items("/v1/requests")
        position = aggregator.get(f"/v1/requests/{request['id']}/position")
        assert (position["requested"], position["offered"], position["awarded"], position["delivered"]) == (
            2000, 2000, 2000, 1600,
        )  # fmt: skip
        cost = 150_000 + 20_000
        assert (position["cost_ueur"], position["margin_ueur"]) == (cost, 1600 * 300 - cost)
        assert position["offers"][0]["margin_ueur"] == position["margin_ueur"]


def test_the_statement_adds_up_to_the_balances_as_text_and_as_csv(room: Room, meritgrid: Run, tmp_path: Path) -> None:
    settled_award(room, meritgrid)
    owner = at(room, "owner-1")
    shown = done(meritgrid("account", "show", *owner)).document["nanogrids"][0]
    lines = done(meritgrid("account", "statement", *owner)).document["items"]
    for purse, balance in (("SEAT", shown["balance_ueur"]), ("BOND", shown["bond_ueur"])):
        of_purse = [line for line in lines if line["purse"] == purse]
        assert sum(line["amount_ueur"] for line in of_purse) == of_purse[-1]["balance_ueur"] == balance

    file = tmp_path / "statement.csv"
    done(meritgrid("account", "statement", "--to", file, *owner))
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    assert [Decimal(row["amount_eur"]) * EUR for row in rows] == [line["amount_ueur"] for line in lines]
    assert rows[-1]["at"].endswith("Z")
    assert meritgrid("account", "statement", "--to", file, *owner).code == 2, "an existing file is not overwritten"

    later = lines[-1]["at"]
    part = done(meritgrid("account", "statement", "--first", later, *owner)).document["items"]
    assert part == [line for line in lines if line["at"] >= later], "balances count what was before"


def test_a_delegate_bids_within_its_limits_until_it_is_revoked(room: Room, meritgrid: Run) -> None:
    limits = ("--lowest-price", 80_000, "--largest-quantity", 1000, "--cover", "5.00")
    seat = ("delegate", "set", "--nanogrid", nanogrid(0), "--signer", address_of(DELEGATE), *limits)
    assert meritgrid(*seat, *at(room, "owner-1")).code == 2, "another owner may not"
    done(meritgrid(*seat, *at(room, "owner-0")))
    shown = done(meritgrid("account", "show", *at(room, "owner-0"))).document["nanogrids"][0]["delegate"]
    assert (shown["signer"], shown["cover_cents"]) == (address_of(DELEGATE), 500)

    offer = open_offer(room, meritgrid)
    refused = delegate_bid(room, offer, 100_000, 1001)
    assert refused["problem"]["type"].endswith("quantity-out-of-range")
    done(meritgrid("delegate", "revoke", "--nanogrid", nanogrid(0), *at(room, "owner-0")))
    assert delegate_bid(room, offer, 100_000, 900)["problem"]["type"].endswith("bad-signature")
    done(meritgrid(*seat, *at(room, "owner-0")))
    assert delegate_bid(room, offer, 100_000, 900)["accepted"]


def delegate_bid(room: Room, offer: str, price: int, quantity: int) -> Any:
    from market.desks.market_client import MarketClient

    record = BidRecord(price, quantity, 0, 0, 0)
    wire = room.world.wire(bytes.fromhex(offer[2:]), record, DELEGATE)
    bid = {"index": 0, "price_ueur_kwh": price, "quantity": quantity, "signature": "0x" + wire.signature.hex()}
    with MarketClient(room.url, private_key="0x" + owner_key(0).hex()) as client:
        return client.post(f"/v1/offers/{offer}/bids", {"bids": [bid]})["results"][0]


def test_a_bond_is_funded_by_permit_and_released_after_its_period(room: Room, meritgrid: Run) -> None:
    owner = at(room, "owner-2")
    wallet = address_of(owner_key(2))
    done(meritgrid("operator", "mint", "--to", wallet, "--amount", 16, "--reference", "Bank 2", *at(room, "operator")))
    done(meritgrid("account", "fund-bond", "--nanogrid", nanogrid(2), "--amount", "16", *owner))
    funded = done(meritgrid("account", "show", *owner)).document["nanogrids"][0]
    assert (funded["bond_ueur"], funded["cover_cents"]) == (96 * EUR, 1200)
    done(meritgrid("account", "unbond", "--nanogrid", nanogrid(2), "--amount", "80", *owner))
    assert done(meritgrid("account", "show", *owner)).document["nanogrids"][0]["cover_cents"] == 200
    early = meritgrid("account", "withdraw-bond", "--nanogrid", nanogrid(2), *owner)
    assert early.code == 2
    room.world.at(room.world.now_s + 41 * U)
    done(meritgrid("account", "withdraw-bond", "--nanogrid", nanogrid(2), *owner))
    assert done(meritgrid("account", "show", *owner)).document["token_balance_ueur"] == 80 * EUR


@pytest.mark.parametrize(("decision", "outcome"), [("--uphold", "ANNULLED"), ("--reject", "DELIVERED")])
def test_a_hold_stops_the_payment_until_the_referee_decides(
    room: Room, meritgrid: Run, decision: str, outcome: str
) -> None:
    offer = settled_award(room, meritgrid, settle=False)
    place = ("hold", "place", offer, 0, "--reason", "The meter was replaced at noon")
    assert meritgrid(*place, *at(room, "stranger")).code == 2
    done(meritgrid(*place, *at(room, "aggregator")))
    room.world.settle(bytes.fromhex(offer[2:]), T, awards_of(room, offer), {0: 1500, 1: 500})
    [held] = done(meritgrid("hold", "list", "--open", *at(room, "referee"))).document["items"]
    assert (held["ordinal"], held["reason"]) == (0, {"text": "The meter was replaced at noon"})
    assert done(meritgrid("account", "settlements", *at(room, "owner-0"))).document["items"] == []
    assert meritgrid("hold", "decide", offer, 0, decision, *at(room, "operator")).code == 2
    done(meritgrid("hold", "decide", offer, 0, decision, *at(room, "referee")))
    if decision == "--reject":
        room.world.settle(bytes.fromhex(offer[2:]), T, awards_of(room, offer), {0: 1500})
        room.market.index()
    [settlement] = done(meritgrid("account", "settlements", *at(room, "owner-0"))).document["items"]
    assert settlement["outcome"] == outcome
    assert settlement["computation"]["agrees"]


def test_a_hold_that_nobody_decides_lapses(room: Room, meritgrid: Run) -> None:
    offer = settled_award(room, meritgrid, settle=False)
    done(meritgrid("hold", "place", offer, 1, "--reason", "Why", *at(room, "dso")))
    assert meritgrid("hold", "lapse", offer, 1, *at(room, "owner-1")).code == 2
    room.world.at(room.world.now_s + 4 * U)
    done(meritgrid("hold", "lapse", offer, 1, *at(room, "owner-1")))
    [held] = done(meritgrid("hold", "list", *at(room, "owner-1"))).document["items"]
    assert (held["upheld"], held["lapsed"]) == (False, True)
