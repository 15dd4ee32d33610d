"""The operator at its command line: participants, gateways, money in and out, pauses, key rotation."""

from __future__ import annotations

from pathlib import Path

import httpx

from gateway_agent.enrolment import enrol
from market.domain.signing import address_of
from tests.chain.world import EUR, KEYS, NODE, PORTFOLIO, U, nanogrid, owner_key
from tests.cli.conftest import Answer, Room, Run
from tests.conftest import TEST_EPOCH

NEW_OWNER = address_of(owner_key(50))


def at(room: Room, who: str) -> tuple[str, ...]:
    return ("--market", room.url, "--key-file", room.key(who), "--json")


def done(answer: Answer) -> Answer:
    assert answer.code == 0, answer.err
    return answer


def test_a_new_node_with_a_nanogrid_and_its_gateway_is_set_up_by_commands_alone(
    room: Room, meritgrid: Run, tmp_path: Path
) -> None:
    operator = at(room, "operator")
    dso, aggregator = room.world.address("dso"), room.world.address("aggregator")
    done(meritgrid("operator", "register", "node", "--node", 9, "--dso", dso, "--name", "Substation 9", *operator))
    portfolio = ("--portfolio", 9, "--node", 9, "--aggregator", aggregator, "--name", "Valley")
    done(meritgrid("operator", "register", "portfolio", *portfolio, *operator))
    seat = ("--portfolio", 9, "--owner", NEW_OWNER, "--rated-power", 11_000, "--emergency-price", 400_000)
    registered = done(meritgrid("operator", "register", "nanogrid", *seat, *operator)).document
    assert registered["nanogrid"] == 9 << 16
    code = done(meritgrid("operator", "enrol-code", "--nanogrid", 9 << 16, *operator)).document["code"]

    with httpx.Client(timeout=30) as client:
        enrol(tmp_path / "gateway", code, room.url, client)
    shown = done(meritgrid("operator", "nanogrids", *operator)).document["items"]
    assert [row["gateway"] is not None for row in shown if row["nanogrid"] == 9 << 16] == [True]

    unseated = done(meritgrid("operator", "change", "gateway", "--nanogrid", 9 << 16, *operator))
    assert unseated.document["events"][0]["event"] == "GatewayChanged"
    assert room.world.contracts.call(room.world.contracts.settlement.functions.gatewayOf(9 << 16)) == "0x" + "0" * 40


def test_money_comes_in_is_deposited_withdrawn_and_goes_out(room: Room, meritgrid: Run) -> None:
    dso = room.world.address("dso")
    before = done(meritgrid("account", "show", *at(room, "dso"))).document
    bank = ("--reference", "Bank 1")
    done(meritgrid("operator", "mint", "--to", dso, "--amount", "250.50", *bank, *at(room, "operator")))
    done(meritgrid("account", "deposit", "--amount", "250.50", *at(room, "dso")))
    deposited = done(meritgrid("account", "show", *at(room, "dso"))).document
    assert deposited["balance_ueur"] == before["balance_ueur"] + 250_500_000
    done(meritgrid("account", "withdraw", "--amount", "100", *at(room, "dso")))
    after = done(meritgrid("account", "show", *at(room, "dso"))).document
    assert (after["balance_ueur"], after["token_balance_ueur"]) == (deposited["balance_ueur"] - 100 * EUR, 100 * EUR)

    operator = room.world.address("operator")
    done(meritgrid("operator", "mint", "--to", operator, "--amount", 1, *bank, *at(room, "operator")))
    done(meritgrid("operator", "burn", "--amount", 1, *bank, *at(room, "operator")))
    poor = meritgrid("operator", "burn", "--amount", 100_000_000, *bank, *at(room, "operator"))
    assert poor.code == 2
    assert poor.document["type"].startswith("https://")


def test_a_paused_node_takes_no_offers_until_it_is_resumed(room: Room, meritgrid: Run) -> None:
    done(meritgrid("operator", "pause", "--node", NODE, *at(room, "operator")))
    interval = TEST_EPOCH + 8 * U
    room.world.anchor(interval, [0, 0, 0, 0])
    terms = ("--portfolio", PORTFOLIO, "--interval", interval, "--limit-price", 200_000, "--quantity", 1000)
    internal = ("offer", "open", *terms, "--direction", "DOWN", *at(room, "aggregator"))
    refused = meritgrid(*internal)
    assert refused.code == 2
    assert "paused" in refused.document["detail"].lower()
    assert paused(room) == [0]
    done(meritgrid("account", "withdraw", "--amount", "1", *at(room, "aggregator")))
    done(meritgrid("operator", "resume", "--node", NODE, *at(room, "operator")))
    done(meritgrid(*internal))
    assert paused(room) == []


def test_everybody_reads_which_products_are_paused_at_a_node(room: Room, meritgrid: Run) -> None:
    for product in (2, 1):
        done(meritgrid("operator", "pause", "--node", NODE, "--product", product, *at(room, "operator")))
    assert paused(room) == [1, 2]
    done(meritgrid("operator", "resume", "--node", NODE, "--product", 1, *at(room, "operator")))
    assert paused(room) == [2]


def paused(room: Room) -> list[int]:
    """What a caller without any key reads, in the list and of the node itself."""
    node: dict[str, list[int]] = httpx.get(f"{room.url}/v1/nodes/{NODE}").json()
    assert httpx.get(f"{room.url}/v1/nodes").json()["items"] == [node]
    return node["paused"]


def test_the_operator_and_auditors_read_who_holds_which_role(room: Room, meritgrid: Run) -> None:
    operator, dso = at(room, "operator"), room.world.address("dso")
    listed = done(meritgrid("operator", "participants", "--role", "dso", *operator)).document["items"]
    assert [(row["account"], row["role"], row["granted_by"]) for row in listed] == [
        (dso, "DSO", room.world.address("operator"))
    ]
    everybody = done(meritgrid("operator", "participants", *operator)).document["items"]
    roles = {row["role"] for row in everybody}
    assert {"ADMIN", "OPERATOR", "ORACLE", "REFEREE", "DSO", "AGGREGATOR", "PROSUMER"} <= roles
    assert dso in meritgrid("operator", "participants", *operator[:-1]).out

    unknown = meritgrid("operator", "participants", "--role", "king", *operator)
    assert (unknown.code, unknown.document["status"]) == (2, 422)
    stranger = at(room, "stranger")
    for nobody in ("stranger", "dso", "owner-0"):
        assert meritgrid("operator", "participants", *at(room, nobody)).document["status"] == 403
    done(meritgrid("operator", "grant", "AUDITOR", room.world.address("stranger"), *operator))
    assert len(done(meritgrid("operator", "participants", *stranger)).document["items"]) == len(everybody) + 1
    done(meritgrid("operator", "revoke", "DSO", dso, *operator))
    assert done(meritgrid("operator", "participants", "--role", "DSO", *operator)).document["items"] == []


def test_keys_are_rotated_by_giving_the_place_to_another_address(room: Room, meritgrid: Run) -> None:
    operator, stranger = at(room, "operator"), room.world.address("stranger")
    without_role = meritgrid("operator", "change", "dso", "--node", NODE, "--dso", stranger, *operator)
    assert without_role.code == 2
    done(meritgrid("operator", "grant", "DSO", stranger, *operator))
    done(meritgrid("operator", "change", "dso", "--node", NODE, "--dso", stranger, *operator))
    done(meritgrid("operator", "revoke", "dso", room.world.address("dso"), *operator))
    signal = ("signal", "set", "--node", NODE, "--interval", TEST_EPOCH + 8 * U, "--phase", "YELLOW")
    assert meritgrid(*signal, *at(room, "dso")).code == 2
    done(meritgrid(*signal, *at(room, "stranger")))

    done(meritgrid("operator", "grant", "AGGREGATOR", stranger, *operator))
    portfolio = ("--portfolio", PORTFOLIO, "--aggregator", stranger)
    done(meritgrid("operator", "change", "aggregator", *portfolio, *operator))
    signed = done(
        meritgrid("account", "sign-transfer", "--nanogrid", nanogrid(0), "--to", NEW_OWNER, *at(room, "owner-0"))
    )
    change = ("operator", "change", "owner", "--nanogrid", nanogrid(0), "--signature", signed.document["signature"])
    assert meritgrid(*change, "--owner", stranger, *operator).code == 2, "the owner has signed another name"
    done(meritgrid(*change, "--owner", NEW_OWNER, *operator))
    shown = {row["nanogrid"]: row for row in done(meritgrid("operator", "nanogrids", *operator)).document["items"]}
    assert shown[nanogrid(0)]["owner"] == NEW_OWNER
    assert meritgrid("account", "pay-out", "--nanogrid", nanogrid(0), *at(room, "owner-0")).code == 2


def test_an_owner_who_cannot_sign_has_the_time_to_object(room: Room, meritgrid: Run) -> None:
    operator, owner = at(room, "operator"), at(room, "owner-1")
    announce = ("operator", "change", "announce-owner", "--nanogrid", nanogrid(1), "--owner", NEW_OWNER)
    complete = ("operator", "change", "complete-owner", "--nanogrid", nanogrid(1))
    done(meritgrid(*announce, *operator))
    early = meritgrid(*complete, *operator)
    assert early.code == 2
    assert early.document["type"].endswith("/transfer-not-possible-yet")
    room.world.at(TEST_EPOCH + 100 * U)
    done(meritgrid("account", "veto-transfer", "--nanogrid", nanogrid(1), *owner))
    assert meritgrid(*complete, *operator).document["type"].endswith("/no-transfer-announced")
    done(meritgrid(*announce, *operator))
    room.world.at(TEST_EPOCH + 200 * U)
    done(meritgrid(*complete, *operator))
    rows = {row["nanogrid"]: row for row in done(meritgrid("operator", "nanogrids", *operator)).document["items"]}
    assert (rows[nanogrid(1)]["owner"], rows[nanogrid(1)]["announced_owner"]) == (NEW_OWNER, None)


def test_the_governance_changes_hands_in_two_steps_with_a_delay(room: Room, meritgrid: Run) -> None:
    stranger = room.world.address("stranger")
    assert meritgrid("operator", "governance", "accept", *at(room, "stranger")).code == 2
    done(meritgrid("operator", "governance", "begin", "--account", stranger, *at(room, "operator")))
    assert meritgrid("operator", "governance", "accept", *at(room, "stranger")).code == 2
    room.world.at(TEST_EPOCH + 4000)
    done(meritgrid("operator", "governance", "accept", *at(room, "stranger")))
    registry = room.world.contracts.registry.functions
    assert room.world.contracts.call(registry.defaultAdmin()) == stranger


def test_a_suspended_nanogrid_is_reinstated_and_one_that_leaves_is_closed(room: Room, meritgrid: Run) -> None:
    operator = at(room, "operator")
    done(meritgrid("operator", "close", "--nanogrid", nanogrid(1), "--until", TEST_EPOCH + 20 * U, *operator))
    again = meritgrid("operator", "close", "--nanogrid", nanogrid(1), "--until", TEST_EPOCH + 20 * U, *operator)
    assert again.code == 2
    unknown = meritgrid("operator", "reinstate", "--nanogrid", 77, *operator)
    assert unknown.code == 2


def test_a_new_key_is_readable_by_its_owner_only_and_never_overwritten(meritgrid: Run, tmp_path: Path) -> None:
    file = tmp_path / "owner.key"
    made = done(meritgrid("account", "new-key", file, "--json")).document
    assert file.stat().st_mode & 0o777 == 0o600
    assert done(meritgrid("account", "address", "--key-file", file)).out.strip() == made["address"]
    assert meritgrid("account", "new-key", file).code == 2
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text("correct horse")
    sealed = tmp_path / "sealed.json"
    address = done(meritgrid("account", "new-key", sealed, "--password-file", password, "--json")).document["address"]
    opened = meritgrid("account", "address", "--key-file", sealed, "--password-file", password)
    assert done(opened).out.strip() == address


def test_only_those_who_decide_may_prepare_and_all_wrong_arguments_are_named_at_once(
    room: Room, meritgrid: Run
) -> None:
    refused = meritgrid("operator", "grant", "DSO", NEW_OWNER, *at(room, "stranger"))
    assert (refused.code, refused.document["status"]) == (2, 403)
    wrong = meritgrid(
        "operator", "register", "nanogrid", "--portfolio", -1, "--owner", NEW_OWNER, "--rated-power", 0,
        "--emergency-price", 2**31, *at(room, "operator"),
    )  # fmt: skip
    assert wrong.code == 2
    assert all(f"/{name}" in wrong.err for name in ("portfolio", "rated_power_w", "emergency_price_ueur_kwh"))


def test_the_desk_signs_nothing_but_what_it_asked_for(room: Room) -> None:
    import pytest

    from market.desks.desk import Desk
    from market.desks.market_client import Json, MarketClient
    from market.desks.operator import ForeignTransaction, transact
    from market.services.operator_actions import action_of

    class Deceived(MarketClient):
        """A market that prepares another role than the one that was asked for."""

        def post(self, path: str, body: object, idempotency_key: str | None = None) -> Json:
            if path.endswith("/prepare"):
                body = {"action": "grant_role", "role": "OPERATOR", "account": NEW_OWNER}
            return super().post(path, body, idempotency_key)  # type: ignore[arg-type]

    with Deceived(room.url, private_key="0x" + KEYS["operator"].hex()) as client:
        desk = Desk(client, KEYS["operator"])
        with pytest.raises(ForeignTransaction, match="another data"):
            transact(desk, action_of({"action": "grant_role", "role": "DSO", "account": NEW_OWNER}))
