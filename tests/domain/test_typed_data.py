"""Typed data: digests are those of eth_account, schemas those of the Solidity structs and of the protocol page."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from market.domain.errors import BadSignature, ValidationFailed
from market.domain.hashing import keccak256
from market.domain.messages import MESSAGES, Bid, Delegation, Request
from market.domain.signing import (
    Signature,
    address_of,
    new_private_key,
    recover,
    recover_message,
    sign,
    sign_message,
)
from market.domain.typed_data import Domain, Message, checksum_address, snake_case

ROOT = Path(__file__).parents[2]
DOMAIN = Domain(31337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
KEYS = st.binary(min_size=32, max_size=32).filter(
    lambda key: 0 < int.from_bytes(key, "big") < 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
)


def values_of(solidity_type: str) -> st.SearchStrategy[Any]:
    if solidity_type.endswith("[]"):
        return st.lists(values_of(solidity_type[:-2]), max_size=5).map(tuple)
    if solidity_type == "address":
        return st.binary(min_size=20, max_size=20).map(lambda raw: checksum_address("0x" + raw.hex()))
    if solidity_type == "bool":
        return st.booleans()
    if solidity_type == "bytes":
        return st.binary(max_size=70)
    if solidity_type == "bytes32":
        return st.binary(min_size=32, max_size=32)
    bits = int(solidity_type.split("int")[1])
    if solidity_type.startswith("u"):
        return st.integers(0, 2**bits - 1)
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def messages_of(message: type[Message]) -> st.SearchStrategy[Message]:
    return st.builds(message, **{field.name: values_of(field.solidity_type) for field in message.FIELDS})


@pytest.mark.parametrize("name", MESSAGES)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_digest_is_the_one_of_eth_account(name: str, data: st.DataObject) -> None:
    message = data.draw(messages_of(MESSAGES[name]))
    signable = encode_typed_data(full_message=message.typed_data(DOMAIN))
    expected = keccak256(b"\x19" + signable.version + signable.header + signable.body)
    assert message.digest(DOMAIN) == expected


@pytest.mark.parametrize("name", MESSAGES)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_message_survives_its_json(name: str, data: st.DataObject) -> None:
    message = data.draw(messages_of(MESSAGES[name]))
    assert type(message).from_json(message.to_json()) == message


def test_the_messages_are_those_of_the_protocol_page() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text()
    rows = re.findall(r"^\| `(\w+\([^)]*\))` \| (\w+)", page, re.MULTILINE)
    assert {message.TYPE: message.CONTRACT for message in MESSAGES.values()} == dict(rows)


def test_the_fields_are_those_of_the_solidity_structs() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "contracts" / "interfaces").glob("*.sol"))
    structs = dict(re.findall(r"struct (\w+) \{([^}]*)\}", sources))
    shared = sorted(structs.keys() & MESSAGES.keys())
    assert len(shared) >= 12
    for name in shared:
        lines = [line.strip() for line in structs[name].splitlines()]
        members = [line.removesuffix(";") for line in lines if line and not line.startswith("//")]
        assert f"{name}({','.join(members)})" == MESSAGES[name].TYPE


@pytest.mark.parametrize("name", MESSAGES)
def test_the_python_fields_are_the_solidity_fields_in_their_order(name: str) -> None:
    message = MESSAGES[name]
    assert [field.name for field in fields(message)] == [field.name for field in message.FIELDS]  # type: ignore[arg-type]


def test_names_become_snake_case_as_in_the_api() -> None:
    assert snake_case("limitPriceUeurKwh") == "limit_price_ueur_kwh"
    assert snake_case("availabilityPriceUeurKwH") == "availability_price_ueur_kw_h"
    assert snake_case("powerW") == "power_w"


def test_every_value_out_of_range_is_named_at_once() -> None:
    with pytest.raises(ValidationFailed) as failed:
        Bid(b"short", 2**16, -1, 1, 0, 0)
    assert [violation.pointer for violation in failed.value.violations] == ["/offer", "/index", "/price_ueur_kwh"]


def test_missing_unknown_and_wrong_fields_of_json_are_named_at_once() -> None:
    document = Bid(bytes(32), 1, 2, 3, 0, 0).to_json() | {"offer": "no hex", "surprise": 1}
    del document["revision"]
    with pytest.raises(ValidationFailed) as failed:
        Bid.from_json(document)
    assert {violation.pointer for violation in failed.value.violations} == {"/offer", "/surprise", "/revision"}
    with pytest.raises(ValidationFailed):
        Request.from_json(Request(1, 900, 1, 0, 5, (1,), 0).to_json() | {"quantities": 5})


def test_chain_and_contract_change_the_digest() -> None:
    bid = Bid(bytes(32), 1, 2, 3, 0, 0)
    others = [Domain(1, DOMAIN.contract), Domain(31337, "0x" + "11" * 20)]
    assert len({bid.digest(domain) for domain in (DOMAIN, *others)}) == 3


def test_an_address_is_kept_in_its_checksum_form() -> None:
    lower = DOMAIN.contract.lower()
    assert Delegation(1, lower, 0, 0, 0, 0, 0).signer == DOMAIN.contract
    assert Delegation(1, lower, 0, 0, 0, 0, 0) == Delegation(1, DOMAIN.contract, 0, 0, 0, 0, 0)


@settings(max_examples=50, deadline=None)
@given(KEYS, st.binary(min_size=32, max_size=32))
def test_a_signature_is_recovered_from_both_its_forms(key: bytes, digest: bytes) -> None:
    signature = sign(key, digest)
    assert recover(digest, signature.to_bytes()) == recover(digest, signature.compact()) == address_of(key)
    assert Signature.from_bytes(signature.compact()) == Signature.from_hex(signature.hex()) == signature


@settings(max_examples=20, deadline=None)
@given(KEYS)
def test_keys_and_signatures_are_those_of_eth_account(key: bytes) -> None:
    bid = Bid(bytes(32), 1, 2, 3, 0, 0)
    account = Account.from_key(key)
    signed = account.sign_typed_data(full_message=bid.typed_data(DOMAIN))
    assert address_of(key) == account.address
    assert sign_message(key, bid, DOMAIN).to_bytes() == bytes(signed.signature)
    assert recover_message(bid, DOMAIN, bytes(signed.signature)) == account.address


def test_a_malleable_or_malformed_signature_is_refused() -> None:
    key, digest = new_private_key(), bytes(31) + b"\1"
    signature = sign(key, digest)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = signature.r.to_bytes(32, "big") + (order - signature.s).to_bytes(32, "big")
    wrong = [
        high + bytes([27 + 1 - signature.parity]),
        bytes(65),
        b"",
        signature.to_bytes()[:-1] + b"\x00",
        signature.to_bytes() + b"\x00",
        b"\xff" * 64,
    ]
    for raw in wrong:
        with pytest.raises(BadSignature):
            recover(digest, raw)
    with pytest.raises(BadSignature):
        Signature.from_hex("0xzz")


def test_a_point_that_is_not_on_the_curve_is_a_bad_signature() -> None:
    refused = 0
    for r in range(1, 40):
        try:
            recover(bytes(32), Signature(r, 1, 0))
        except BadSignature:
            refused += 1
    assert refused > 0
