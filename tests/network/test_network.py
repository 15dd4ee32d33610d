"""The chain layer on five validators: blocks, fees, finality, the sender, the indexer, an auction."""

from __future__ import annotations

import pytest

from market.chain.embedded import BLOCK_GAS_LIMIT
from market.chain.indexer import Indexer
from market.chain.profiles import RpcError, connect, rpc
from market.chain.verification import verify
from market.domain.products import Phase
from market.domain.records import BidRecord
from market.domain.settlement import Outcome
from market.domain.states import OfferStatus
from market.store.database import migrate, open_engine, read_scope
from market.store.models import Award, ChainEvent
from market.store.models import Offer as OfferRow
from tests.chain.world import NANOGRIDS
from tests.network.world import NETWORK, Network, NetworkWorld

pytestmark = [pytest.mark.network, pytest.mark.slow]


QUANTITY_WH = 600


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


def test_the_deployed_contracts_are_of_this_versions_code(world: NetworkWorld) -> None:
    findings = verify(world.contracts.web3, world.contracts.deployment)
    assert [each.problem for each in findings] == [None] * 7


def test_every_validator_has_the_same_chain(network: Network, world: NetworkWorld) -> None:
    head = int(rpc(world.contracts.web3, "eth_blockNumber"), 16)
    ask = [connect(network.member(name).rpc_url, NETWORK) for name in network.validators.names()]
    blocks = {rpc(web3, "eth_getBlockByNumber", hex(head), False)["hash"] for web3 in ask}
    assert len(blocks) == 1


def test_an_auction_is_held_from_the_request_to_the_payment(world: NetworkWorld) -> None:
    """By the product's sender and indexer, within the calendar's windows, in real time."""
    interval = world.next_interval(412)
    world.anchor(interval, [0] * NANOGRIDS)
    world.at(world.before(interval, 300) + 1)
    world.signal(interval, Phase.YELLOW, 1)
    request = world.request(interval, [QUANTITY_WH])
    offer = world.offer(interval, QUANTITY_WH, request)
    bids = [BidRecord(100_000 + 10_000 * index, 250, 0, index) for index in range(NANOGRIDS)]
    world.post(offer, [world.wire(offer, bid) for bid in bids])
    world.at(world.before(interval, 120))
    awards = world.clear(offer)
    world.at(world.before(interval, 93))
    world.finalise(offer, awards)
    world.indexer.index_now()
    with read_scope(world.engine) as session:
        row = session.get_one(OfferRow, "0x" + offer.hex())
        assert row.status == OfferStatus.FINAL
        assert row.awarded == QUANTITY_WH
        won = {award.index: award.quantity for award in session.query(Award).filter_by(offer=row.offer)}
    assert won == {0: 250, 1: 250, 2: 100}
    world.at(interval + world.unit_s + 1)
    world.settle(offer, interval, awards, won)
    world.indexer.index_now()
    with read_scope(world.engine) as session:
        outcomes = {award.outcome for award in session.query(Award).filter_by(offer="0x" + offer.hex())}
    assert outcomes == {Outcome.DELIVERED}


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
