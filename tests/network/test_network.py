"""Five validators as the market finds them: blocks, fees, one chain. What it does on them: tests/chain."""

from __future__ import annotations

import pytest

from market.chain.embedded import BLOCK_GAS_LIMIT
from market.chain.indexer import Indexer
from market.chain.profiles import RpcError, connect, rpc
from market.store.database import migrate, open_engine, read_scope
from market.store.models import ChainEvent
from tests.network.world import NETWORK, NetworkWorld
from tests.networks import Network

pytestmark = [pytest.mark.network, pytest.mark.slow]


def test_a_network_is_created_and_started_within_a_minute(network: Network) -> None:
    assert network.seconds_to_create + network.seconds_to_start < 60
    assert network.validators.names() == ("dso-1", "dso-2", "aggregator", "operator", "auditor")


def test_keys_and_folders_are_their_owners_own(network: Network) -> None:
    for name in network.validators.names():
        own = network.layout.validator(name)
        assert own.stat().st_mode & 0o027 == 0
        for key in ("staker.key", "signer.key", "node.json"):
            assert (own / key).stat().st_mode & 0o777 == 0o600
    assert network.layout.owner_key.stat().st_mode & 0o777 == 0o600


def test_blocks_are_as_the_profile_expects_them(network: Network, world: NetworkWorld) -> None:
    block = world.contracts.web3.eth.get_block("latest")  # web3 would refuse the extra data without its middleware
    assert block["gasLimit"] == BLOCK_GAS_LIMIT
    assert block["baseFeePerGas"] == 1
    assert len(block["proofOfAuthorityData"]) > 32


@pytest.mark.parametrize("method", ["evm_mine", "evm_snapshot", "debug_traceTransaction", "anvil_setBalance"])
def test_nobody_moves_the_chain_by_hand(network: Network, method: str) -> None:
    with pytest.raises(RpcError, match="does not exist"):
        rpc(connect(network.member("auditor").rpc_url, NETWORK), method)


def test_every_validator_has_the_same_chain(network: Network, world: NetworkWorld) -> None:
    head = int(rpc(world.contracts.web3, "eth_blockNumber"), 16)
    ask = [connect(network.member(name).rpc_url, NETWORK) for name in network.validators.names()]
    blocks = {rpc(web3, "eth_getBlockByNumber", hex(head), False)["hash"] for web3 in ask}
    assert len(blocks) == 1


def test_the_market_rebuilt_from_another_validator_is_the_same(
    network: Network, world: NetworkWorld, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world.indexer.index_now()
    url = f"sqlite:///{tmp_path_factory.mktemp('auditor') / 'market.sqlite'}"
    migrate(url)
    engine = open_engine(url)
    Indexer(world.contracts_at(network.member("auditor")), engine).index_now()

    def story(of: object) -> list[tuple[object, ...]]:
        with read_scope(of) as session:  # type: ignore[arg-type]
            rows = session.query(ChainEvent).order_by(ChainEvent.block, ChainEvent.log_index).all()
            return [(row.block, row.log_index, row.event, row.block_time, str(row.arguments)) for row in rows]

    assert story(engine) == story(world.engine)
    assert len(story(engine)) > 20
    engine.dispose()
