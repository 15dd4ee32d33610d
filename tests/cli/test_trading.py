"""A whole auction by hand: each party uses only the command line and its own key."""

from __future__ import annotations

import json
from pathlib import Path

from market.domain.intervals import iso
from market.services import rounds
from tests.chain.world import NODE, PORTFOLIO, U, before, nanogrid
from tests.cli.conftest import Room, Run
from tests.conftest import TEST_EPOCH

T = TEST_EPOCH + 8 * U


def yellow_with_request(room: Room, meritgrid: Run) -> str:
    """The node is YELLOW and the DSO wants 2,000 Wh less injection; the id of its request."""
    room.world.at(before(T, 410))
    room.world.anchor(T, [0, 0, 0, 0])
    room.world.at(before(T, 300))
    dso = ("--market", room.url, "--key-file", room.key("dso"), "--json")
    reason = ("--reason", "Transformer at 141 %")
    light = meritgrid("signal", "set", "--node", NODE, "--interval", iso(T), "--phase", "yellow", *reason, *dso)
    assert light.code == 0, light.err
    terms = ("--node", NODE, "--interval", T, "--direction", "DOWN", "--quantity", 2000, "--price", 300_000)
    published = meritgrid("request", "publish", *terms, *dso)
    assert published.code == 0, published.err
    return str(published.document["id"])


def open_offer(room: Room, meritgrid: Run) -> str:
    request = yellow_with_request(room, meritgrid)
    room.world.at(before(T, 275))
    answer = meritgrid(
        "offer", "open", "--portfolio", PORTFOLIO, "--interval", iso(T), "--request", request, "--limit-price", 250_000,
        "--market", room.url, "--key-file", room.key("aggregator"), "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    return str(answer.document["id"])


def sign_and_send(room: Room, meritgrid: Run, offer: str, index: int, price: int, quantity: int) -> str:
    """The digest of a bid that its owner signs offline and sends."""
    facts = room.keys / "market.json"
    facts.write_text(json.dumps(market_facts(room)))
    file = room.keys / f"bid-{index}.json"
    owner = ("--key-file", room.key(f"owner-{index}"))
    signed = meritgrid(
        "bid", "sign", "--facts", facts, "--offer", offer, "--nanogrid", nanogrid(index), "--price", price,
        "--quantity", quantity, "--to", file, *owner,
    )  # fmt: skip
    assert signed.code == 0, signed.err
    sent = meritgrid("bid", "send", file, "--market", room.url, *owner, "--json")
    assert sent.code == 0, sent.err
    assert sent.document["receipt"]["signature"].startswith("0x")
    return str(sent.document["digest"])


def market_facts(room: Room) -> dict[str, object]:
    from market.desks.market_client import MarketClient

    with MarketClient(room.url) as client:
        return client.get("/v1/market")


def test_an_auction_by_hand_from_the_light_to_the_awards(room: Room, meritgrid: Run) -> None:
    offer = open_offer(room, meritgrid)
    at = ("--market", room.url)
    assert meritgrid("request", "list", "--node", NODE, *at, "--json").document["items"][0]["intervals"] == [
        {"interval": T, "quantity": 2000, "available": 0}
    ]
    cheap = sign_and_send(room, meritgrid, offer, 0, 100_000, 1500)
    dear = sign_and_send(room, meritgrid, offer, 1, 200_000, 1500)
    taken_back = sign_and_send(room, meritgrid, offer, 2, 90_000, 900)
    withdrawn = meritgrid(
        "bid", "withdraw", "--offer", offer, "--nanogrid", nanogrid(2), *at, "--key-file", room.key("owner-2"), "--json"
    )
    assert withdrawn.code == 0, withdrawn.err

    room.world.at(before(T, 145))
    rounds.run_due(room.market)
    room.world.at(before(T, 120))
    rounds.run_due(room.market)
    curve = meritgrid("offer", "merit-order", offer, *at, "--json").document
    assert [(step["index"], step["awarded"]) for step in curve["bids"]] == [(0, 1500), (1, 500)]
    assert meritgrid("offer", "list", "--status", "CLEARED", *at, "--json").document["items"][0]["id"] == offer
    aggregator = (*at, "--key-file", room.key("aggregator"), "--json")
    assert [row["quantity"] for row in meritgrid("offer", "awards", offer, *aggregator).document["items"]] == [
        1500,
        500,
    ]
    assert meritgrid("offer", "position", offer, *aggregator).document["awarded"] == 2000
    why = meritgrid("bid", "why", offer, dear, *at, "--key-file", room.key("owner-1"), "--json").document
    assert (why["rank"], why["awarded"]) == (2, 500)
    assert cheap != dear != taken_back

    for shown in (("offer", "merit-order", offer, *at), ("offer", "show", offer, *at)):
        text = meritgrid(*shown)
        assert text.code == 0
        assert "200000" in text.out


def test_an_offer_without_bids_can_be_cancelled(room: Room, meritgrid: Run) -> None:
    offer = open_offer(room, meritgrid)
    aggregator = ("--market", room.url, "--key-file", room.key("aggregator"), "--json")
    cancelled = meritgrid("offer", "cancel", offer, *aggregator)
    assert cancelled.code == 0, cancelled.err
    assert meritgrid("offer", "show", offer, "--market", room.url, "--json").document["status"] == "CANCELLED"
    # The same decision sent again is the same one: it names the same transaction, and changes nothing.
    assert meritgrid("offer", "cancel", offer, *aggregator).document == cancelled.document


def test_a_refused_bid_names_why_and_exits_with_2(room: Room, meritgrid: Run, tmp_path: Path) -> None:
    offer = open_offer(room, meritgrid)
    owner = ("--key-file", room.key("owner-0"))
    file = tmp_path / "bid.json"
    meritgrid(
        "bid", "sign", "--facts", room.url, "--offer", offer, "--nanogrid", nanogrid(0), "--price", 260_000,
        "--quantity", 500, "--to", file, *owner,
    )  # fmt: skip
    refused = meritgrid("bid", "send", file, "--market", room.url, *owner)
    assert refused.code == 2
    assert "limit" in refused.err
    assert refused.out == ""
    as_json = meritgrid("bid", "send", file, "--market", room.url, *owner, "--json")
    assert as_json.code == 2
    assert as_json.document["status"] in (409, 422)


def test_a_strangers_signal_is_refused_as_a_problem_without_a_traceback(room: Room, meritgrid: Run) -> None:
    arguments = ("signal", "set", "--node", NODE, "--interval", T, "--phase", "RED", "--market", room.url)
    refused = meritgrid(*arguments, "--key-file", room.key("stranger"), "--json")
    assert refused.code == 2
    assert refused.document["type"].startswith("https://")
    assert "Traceback" not in refused.err
    assert meritgrid("signal", "list", "--node", NODE, "--market", room.url, "--json").document == {"items": []}


def test_on_red_the_dso_commands_a_nanogrid(room: Room, meritgrid: Run) -> None:
    dso = ("--market", room.url, "--key-file", room.key("dso"))
    room.world.at(before(T, 96))
    red = meritgrid("signal", "set", "--node", NODE, "--interval", T, "--phase", "RED", "--reason", "No bids", *dso)
    assert red.code == 0, red.err
    order = ("--nanogrid", nanogrid(1), "--interval", T, "--direction", "DOWN", "--quantity", 400)
    commanded = meritgrid("red", "command", *order, *dso)
    assert commanded.code == 0, commanded.err
    rows = meritgrid("red", "list", "--node", NODE, *dso, "--json").document["items"]
    assert rows[0]["reason"] == {"text": "RED: direct command"}
    assert "direct command" in meritgrid("red", "list", "--node", NODE, *dso).out
    assert [(row["nanogrid"], row["quantity"]) for row in rows] == [(nanogrid(1), 400)]
    light = meritgrid("signal", "list", "--node", NODE, "--first", T, "--last", T, "--market", room.url, "--json")
    assert light.document["items"][0]["reason"] == {"text": "No bids"}
    room.world.at(T + U // 3)
    late = meritgrid("red", "command", *order[2:], "--nanogrid", nanogrid(2), *dso, "--json")
    assert (late.code, late.document["type"].rsplit("/", 1)[1]) == (2, "too-late-to-dispatch")


def test_without_a_key_and_without_a_market_it_is_said_in_a_sentence(meritgrid: Run, free_port: int) -> None:
    unsigned = meritgrid("signal", "set", "--node", 1, "--interval", T, "--phase", "RED")
    assert (unsigned.code, unsigned.out) == (2, "")
    assert "--key-file" in unsigned.err
    nobody = meritgrid("offer", "list", "--market", f"http://127.0.0.1:{free_port}")
    assert nobody.code == 2
    assert "cannot be reached" in nobody.err


def test_a_desk_that_cannot_start_says_why(meritgrid: Run, tmp_path: Path) -> None:
    key = tmp_path / "dso.key"
    key.write_text("11" * 32)
    key.chmod(0o644)
    at = ("--market", "http://127.0.0.1:1")
    for desk in (("aggregator", "run"), ("dso", "run", "--node", 1, "--grid", tmp_path / "forecast.json")):
        refused = meritgrid(*desk, "--key-file", key, *at)
        assert refused.code == 2
        assert "chmod 600" in refused.err
