"""The genesis of a new network names who may change what, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from market.chain.embedded import BLOCK_GAS_LIMIT as EMBEDDED_BLOCK_GAS_LIMIT
from scripts.network.build import MODULE
from scripts.network.genesis import BLOCK_GAS_LIMIT, chain_genesis
from scripts.network.layout import CHAIN_NAME, Layout

OPERATOR, RELAYER = "0x" + 20 * "a1", "0x" + 20 * "b2"
GENESIS = chain_genesis(4711, 1_780_000_200, [OPERATOR], [RELAYER])


def test_the_operator_is_admin_of_every_list_and_of_the_fees() -> None:
    config = GENESIS["config"]
    lists = [name for name in config if name.endswith("Config") and name != "feeConfig"]
    assert len(lists) == 4
    assert all(config[name]["adminAddresses"] == [OPERATOR] for name in lists)


def test_the_service_that_reconciles_manages_the_lists_and_mints_and_has_no_say_in_the_fees() -> None:
    config = GENESIS["config"]
    assert config["txAllowListConfig"]["managerAddresses"] == [RELAYER]
    assert config["contractDeployerAllowListConfig"]["managerAddresses"] == [RELAYER]
    assert config["contractNativeMinterConfig"]["enabledAddresses"] == [RELAYER]
    assert RELAYER not in json.dumps(config["feeManagerConfig"])


def test_only_they_have_coin_at_first() -> None:
    assert set(GENESIS["alloc"]) == {OPERATOR[2:], RELAYER[2:]}


def test_a_block_holds_as_much_gas_as_one_of_the_embedded_chain() -> None:
    assert BLOCK_GAS_LIMIT == EMBEDDED_BLOCK_GAS_LIMIT
    assert int(GENESIS["gasLimit"], 16) == GENESIS["config"]["feeConfig"]["gasLimit"] == BLOCK_GAS_LIMIT


def test_full_blocks_do_not_raise_the_fee() -> None:
    fees = GENESIS["config"]["feeConfig"]
    assert fees["minBaseFee"] == 1
    # A block a second is more than the nodes make.
    assert fees["targetGas"] > 10 * fees["gasLimit"]


def test_the_modules_are_pinned_with_their_sums() -> None:
    pinned = (MODULE / "go.mod").read_text(encoding="utf-8")
    sums = (MODULE / "go.sum").read_text(encoding="utf-8")
    for module in ("github.com/ava-labs/avalanchego v1.14.0", "github.com/ava-labs/subnet-evm v0.8.0-rc.0"):
        assert module in pinned
        assert f"{module} h1:" in sums


def test_the_launcher_uses_the_names_of_the_layout(tmp_path: Path) -> None:
    """Two languages write and read the same files."""
    layout = Layout(tmp_path)
    files = [layout.plan, layout.description, layout.chain_genesis, layout.owner_key, layout.chain_configs]
    files += [layout.primary_genesis, layout.aliases]
    go = "\n".join(path.read_text(encoding="utf-8") for path in (MODULE / "launcher").glob("*.go"))
    for path in (*files, layout.validator("x").parent, layout.node_config("x")):
        assert f'= "{path.name}"' in go, path.name
    assert f'chainName = "{CHAIN_NAME}"' in go
