"""The template for Besu fits the product's settings. Besu itself is not run: the template says so."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest
import yaml

from market.chain.profiles import LARGEST_GAS_LIMIT, PROFILES
from market.settings import ChainProfile
from scripts.build_contracts import CODE_SIZE_LIMIT_BYTES
from scripts.network.genesis import BLOCK_GAS_LIMIT
from scripts.network.layout import CHAIN_ID, VALIDATORS
from tests.production.conftest import PRODUCTION, ROOT, Run

TEMPLATE = PRODUCTION / "besu"


def configuration() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((TEMPLATE / "qbft-config.json").read_text(encoding="utf-8"))
    return found


def nodes() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((TEMPLATE / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return found


@pytest.mark.parametrize("file", ["README.md", "compose.yaml", "permissions_config.toml"])
def test_whoever_opens_the_template_reads_that_it_is_not_tested(file: str) -> None:
    beginning = (TEMPLATE / file).read_text(encoding="utf-8")[:200]
    assert "not tested here" in beginning.lower()


def test_a_block_holds_what_the_product_sends() -> None:
    genesis = configuration()["genesis"]
    assert int(genesis["gasLimit"], 16) == BLOCK_GAS_LIMIT
    assert PROFILES[ChainProfile.RPC].gas_limit <= LARGEST_GAS_LIMIT < BLOCK_GAS_LIMIT
    assert "contractSizeLimit" not in genesis["config"], "Besu's own limit is Ethereum's, and the contracts keep it"
    assert CODE_SIZE_LIMIT_BYTES <= 24_576


def test_the_genesis_has_what_qbft_and_the_contracts_need() -> None:
    config = configuration()["genesis"]["config"]
    assert config["qbft"].keys() == {"blockperiodseconds", "epochlength", "requesttimeoutseconds"}
    assert config["qbft"]["requesttimeoutseconds"] == 2 * config["qbft"]["blockperiodseconds"]
    compiled_for = yaml.safe_load((ROOT / "brownie-config.yaml").read_text(encoding="utf-8"))["compiler"]
    fork = {"london": "londonBlock", "shanghai": "shanghaiTime", "cancun": "cancunTime"}[compiled_for["evm_version"]]
    assert config[fork] == 0
    assert "osakaTime" not in config, "the page says that P-256 gateways are refused"
    assert configuration()["blockchain"]["nodes"] == {"generate": True, "count": len(VALIDATORS)}


def test_its_chain_id_is_no_other_chains_and_stands_in_the_settings() -> None:
    chain_id = configuration()["genesis"]["config"]["chainId"]
    assert chain_id not in {CHAIN_ID, 31_337, 1, 1337}
    page = (TEMPLATE / "README.md").read_text(encoding="utf-8")
    assert f"MERITGRID_CHAIN_ID={chain_id}\n" in page
    assert f"MERITGRID_CHAIN_PROFILE={ChainProfile.RPC.value}\n" in page


def test_the_same_five_validators_stand_in_every_file() -> None:
    addresses = {name: found["networks"]["chain"]["ipv4_address"] for name, found in nodes().items()}
    assert set(addresses) == set(VALIDATORS)
    enodes = [f"enode://PUBLIC_KEY_OF_{name.upper().replace('-', '_')}@{addresses[name]}:30303" for name in VALIDATORS]
    assert json.loads((TEMPLATE / "static-nodes.json").read_text(encoding="utf-8")) == enodes
    permissions = tomllib.loads((TEMPLATE / "permissions_config.toml").read_text(encoding="utf-8"))
    assert permissions["nodes-allowlist"] == enodes
    assert permissions.keys() == {"accounts-allowlist", "nodes-allowlist"}
    assert all(re.fullmatch("0x[0-9a-f]{40}", account) for account in permissions["accounts-allowlist"])


def test_compose_takes_the_file_and_lists_are_changed_from_within_a_container_only(run: Run) -> None:
    run("docker-compose", "-f", TEMPLATE / "compose.yaml", "config", "--quiet")
    for found in nodes().values():
        options = dict(option.removeprefix("--").partition("=")[::2] for option in found["command"])
        assert set(options["rpc-http-api"].split(",")) == {"ETH", "NET", "WEB3"}
        assert options["rpc-ws-host"] == "127.0.0.1"
        assert {"permissions-nodes-config-file-enabled", "permissions-accounts-config-file-enabled"} <= options.keys()
        assert all(port.startswith("127.0.0.1:") for port in found["ports"])
