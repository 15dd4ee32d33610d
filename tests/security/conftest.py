"""A populated market behind its HTTP server, once for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from market.chain.embedded import EmbeddedChain
from market.services.certificates import GatewayCertificates
from market.services.enrolment_ca import EnrolmentCa
from market.settings import ApiSettings
from scripts.demo.supervisor import free_port as taken_by_nobody
from tests.cli.conftest import RoomBroker, opened_room
from tests.security.town import PARAMETERS, Town


@pytest.fixture(scope="module")
def town(module_anvil: EmbeddedChain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Two nodes with something at every stage; what a test does, it undoes."""
    folder = tmp_path_factory.mktemp("town")
    url = f"sqlite:///{folder / 'market.sqlite'}"
    often = ApiSettings(
        port=taken_by_nobody(), calls_per_s=1000, calls_at_once=100_000, address_calls_per_s=1000,
        address_calls_at_once=100_000,
    )  # fmt: skip
    authority = EnrolmentCa.create(folder / "ca.pem", folder / "ca.key")
    broker = RoomBroker({"host": "127.0.0.1", "port": 8883, "tls": True}, GatewayCertificates(authority))
    with opened_room(module_anvil, folder, url, often, PARAMETERS, broker) as room:
        yield Town.build(room)
