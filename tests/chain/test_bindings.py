"""Bindings: what the contracts say reaches Python with its names, units and reasons."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st

from market.chain.bindings import ArtifactMissing, artifact, decode_error, decode_log, encode_call, open_contracts
from market.chain.deployment import CONTRACT_NAMES, DeploymentError, write_deployment
from market.chain.profiles import PROFILES, RpcError, rpc
from market.domain.errors import ContractRefused
from market.domain.messages import Offer, Reading
from market.settings import ChainProfile, Settings, SettingsError
from tests.chain.grounds import Ground
from tests.chain.world import EMERGENCY_PRICE_UEUR_KWH, NODE, PORTFOLIO, World, address_of, nanogrid, owner_key


@pytest.fixture(scope="module")
def world(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("bindings")
    world = ground.world(f"sqlite:///{folder / 'market.sqlite'}")
    world.register(world.next_interval(100))
    yield world
    world.engine.dispose()


def test_a_custom_error_brings_its_name_code_and_arguments() -> None:
    offer = bytes(range(32))
    selector = keccak(text="GateClosed(bytes32,uint256)")[:4]
    error = decode_error(selector + encode(["bytes32", "uint256"], [offer, 1_780_000_000]))
    assert isinstance(error, ContractRefused)
    assert error.name == "GateClosed"
    assert error.code == "gate-closed"
    assert error.fields == {"offer": "0x" + offer.hex(), "gateClosure": 1_780_000_000}
    assert "1780000000" in error.sentence


def test_a_revert_with_a_text_and_a_panic_are_told_too() -> None:
    told = decode_error(keccak(text="Error(string)")[:4] + encode(["string"], ["because"]))
    assert told.fields == {"reason": "because"}
    panic = decode_error("0x" + (keccak(text="Panic(uint256)")[:4] + encode(["uint256"], [0x11])).hex())
    assert panic.fields == {"reason": 0x11}


@pytest.mark.parametrize("data", [None, b"", "0x", b"\x01\x02", bytes(36)])
def test_what_no_contract_of_ours_says_is_shown_as_it_came(data: bytes | str | None) -> None:
    assert decode_error(data).code == "call-reverted"


@given(st.binary(max_size=200))
def test_no_revert_data_stops_the_decoding(data: bytes) -> None:
    selector = keccak(text="WrongStatus(bytes32,uint8)")[:4]
    assert decode_error(data).sentence
    assert decode_error(selector + data).code == "wrong-status"


def test_every_custom_error_of_the_artifacts_has_its_own_selector() -> None:
    from market.chain.bindings import _error_entries

    signatures = set()
    for name in CONTRACT_NAMES:
        for entry in artifact(name)["abi"]:
            if entry["type"] == "error":
                signatures.add((entry["name"], tuple(item["type"] for item in entry["inputs"])))
    found = {(entry["name"], tuple(item["type"] for item in entry["inputs"])) for entry in _error_entries().values()}
    assert signatures <= found


def test_views_answer_by_the_names_of_their_structs(world: World) -> None:
    registry = world.contracts.registry.functions
    seat = world.contracts.call(registry.seatOf(nanogrid(1)))
    assert seat["owner"] == address_of(owner_key(1))
    assert seat["emergencyPriceUeurKwh"] == EMERGENCY_PRICE_UEUR_KWH
    assert world.contracts.call(registry.nodeOf(NODE)) == {"dso": world.address("dso"), "active": True}
    assert world.contracts.call(registry.isPaused(NODE, 0)) is False
    baseline = world.contracts.call(world.contracts.metering.functions.baselineOf(PORTFOLIO, 900, 0))
    assert baseline == ("0x" + 64 * "0", 0, 0)


def test_a_refused_view_names_the_error(world: World) -> None:
    with pytest.raises(ContractRefused) as refusal:
        world.contracts.call(world.contracts.auction.functions.finalAt(bytes(32)))
    assert refusal.value.name == "UnknownOffer"


def test_calls_are_encoded_without_asking_the_chain(world: World) -> None:
    function = world.contracts.registry.functions.registerNode(8, world.address("dso"), "Substation 8")
    expected = encode(["uint32", "address", "string"], [8, world.address("dso"), "Substation 8"])
    assert encode_call(function) == keccak(text="registerNode(uint32,address,string)")[:4] + expected


def test_events_come_with_their_time_and_in_json_form(world: World) -> None:
    address, topics = world.contracts.registry.address, [_topic("NodeRegistered")]
    query = {"address": address, "fromBlock": "0x0", "toBlock": "latest", "topics": topics}
    (log,) = rpc(world.contracts.web3, "eth_getLogs", query)
    made_at = world.block_time(int(log["blockNumber"], 16))
    event = world.contracts.decode(log, made_at)
    assert event is not None
    assert (event.contract, event.name) == ("ParticipantRegistry", "NodeRegistered")
    assert event.arguments == {"node": NODE, "dso": world.address("dso"), "name": "Substation 7"}
    assert event.block_time == made_at
    if "blockTimestamp" in log:  # some nodes say it in the log
        assert world.contracts.decode(log) == event
    assert json.loads(json.dumps(event.arguments)) == event.arguments
    foreign = {**log, "address": "0x" + 40 * "5"}
    assert world.contracts.decode(foreign) is None
    assert decode_log("SettlementToken", log) is None


def _topic(name: str) -> str:
    entry = next(item for item in artifact("ParticipantRegistry")["abi"] if item.get("name") == name)
    signature = f"{name}({','.join(item['type'] for item in entry['inputs'])})"
    return "0x" + keccak(text=signature).hex()


def test_messages_are_signed_in_the_domain_of_their_contract(ground: Ground, world: World) -> None:
    assert world.contracts.domain_of(Offer).contract == world.contracts.auction.address
    assert world.contracts.domain_of(Reading).contract == world.contracts.settlement.address
    assert world.contracts.domain_of(Reading).chain_id == ground.chain_id


def test_the_calendar_is_the_deployments(world: World) -> None:
    assert world.contracts.calendar.time_unit_s == world.contracts.call(world.contracts.registry.functions.timeUnitS())


def test_the_settings_open_the_contracts(ground: Ground, world: World, tmp_path: Path) -> None:
    path = tmp_path / "deployment.json"
    write_deployment(path, world.contracts.deployment)
    assert open_contracts(ground.settings(deployment_file=path)).deployment == world.contracts.deployment
    with pytest.raises(SettingsError, match=f"is chain {ground.chain_id}, the settings say 1"):
        open_contracts(ground.settings(deployment_file=path, chain_id=1))
    with pytest.raises(DeploymentError):
        open_contracts(ground.settings(deployment_file=tmp_path / "missing.json"))


def test_a_chain_that_does_not_answer_is_named(free_port: int) -> None:
    with pytest.raises(SettingsError, match="no chain answers at"):
        open_contracts(Settings(rpc_url=f"http://127.0.0.1:{free_port}"))


def test_a_refusal_of_the_node_itself_is_no_refusal_of_a_contract(world: World) -> None:
    with pytest.raises(RpcError) as refusal:
        rpc(world.contracts.web3, "eth_noSuchMethod")
    assert refusal.value.data is None


def test_missing_artifacts_are_named() -> None:
    with pytest.raises(ArtifactMissing, match=r"NoSuchContract\.json"):
        artifact("NoSuchContract")


def test_every_profile_is_described() -> None:
    assert set(PROFILES) == set(ChainProfile)
    assert all(profile.gas_limit <= 2**24 for profile in PROFILES.values())
