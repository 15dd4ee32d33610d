"""The wire format: what is taken, what is refused with all its problems, and what the seals protect."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.errors import BadSignature
from market.domain.hashing import keccak256
from market.domain.signing import address_of
from market.domain.typed_data import Domain
from oracle.messages import (
    GENESIS_HASH,
    MAX_PAYLOAD_BYTES,
    MAX_READINGS,
    READINGS_THAT_FIT,
    Channel,
    CommandProof,
    DispatchKind,
    DispatchOrder,
    DispatchSnapshot,
    Liveness,
    MessageRefused,
    Plan,
    PlanEntry,
    Quality,
    ReadingBatch,
    SignedAcknowledgement,
    SignedReading,
    Status,
    parse,
    parse_topic,
    reason_hash,
    topic_for,
)

KEY = keccak256(b"a key")
GATEWAY = address_of(KEY).lower()
DOMAIN = Domain(31337, "0x" + "11" * 20)
INT32 = st.integers(-(2**31), 2**31 - 1)
UINT32 = st.integers(0, 2**32 - 1)


def reading(sequence: int = 1, **fields: object) -> SignedReading:
    values = {
        "nanogrid": 2**48 - 1,
        "interval": 2**32 - 1,
        "active_energy_wh": -(2**31),
        "reactive_energy_varh": -(2**31),
        "sequence": sequence,
        "previous_hash": GENESIS_HASH,
        "quality": Quality.ESTIMATED,
        "signature": "0x" + "ff" * 64,
    }
    return SignedReading.model_validate(values | fields)


def status(**fields: object) -> Status:
    values = {"gateway": GATEWAY, "nanogrid": 1, "state": Liveness.ONLINE, "at": 5, "software_version": "1"}
    return Status.sealed(KEY, DOMAIN, **(values | fields))


def test_the_largest_batch_of_readings_fits_into_a_message() -> None:
    batch = ReadingBatch(readings=tuple(reading(2**32 - 1 - MAX_READINGS + each) for each in range(MAX_READINGS)))
    assert parse(topic_for(GATEWAY, Channel.READINGS), batch.payload()).message == batch


def test_the_largest_readings_of_p256_keys_fit_as_many_as_a_gateway_sends() -> None:
    readings = tuple(
        reading(2**32 - 1 - MAX_READINGS + each, signature="0x" + "ff" * 128) for each in range(MAX_READINGS)
    )
    assert len(ReadingBatch(readings=readings[:READINGS_THAT_FIT]).payload()) <= MAX_PAYLOAD_BYTES
    with pytest.raises(MessageRefused, match="at most 16384 bytes"):
        ReadingBatch(readings=readings).payload()


def test_the_largest_snapshot_fits_into_a_message() -> None:
    proof = CommandProof(product=5, direction=1, quantity=2**24 - 1, reason=GENESIS_HASH, signature="0x" + "ff" * 65)
    order = DispatchOrder.signed(
        KEY,
        DOMAIN,
        id="0x" + "ff" * 32,
        kind=DispatchKind.COMMAND,
        nanogrid=2**48 - 1,
        interval=2**32 - 1,
        baseline_wh=-(2**31),
        change_wh=-(2**31),
        target_w=-(2**31),
        target_var=-(2**31),
        lease_end=2**32 - 1,
        offer="0x" + "ff" * 32,
        acknowledged_state="SUCCEEDED",
        command=proof,
    )
    found = DispatchSnapshot.sealed(
        KEY, DOMAIN, gateway=GATEWAY, revision=2**63 - 1, issued_at=2**32 - 1, dispatches=(order,) * 12
    )
    assert len(found.payload()) <= MAX_PAYLOAD_BYTES


def test_the_largest_plan_fits_into_a_message() -> None:
    entry = PlanEntry(interval=2**32 - 1, baseline_wh=-100_000, baseline_varh=-100_000)
    plan = Plan.sealed(KEY, DOMAIN, gateway=GATEWAY, nanogrid=2**48 - 1, issued_at=1, entries=(entry,) * 200)
    assert len(plan.payload()) <= MAX_PAYLOAD_BYTES


@given(active=INT32, reactive=INT32, interval=UINT32, sequence=st.integers(1, 2**32 - 1))
def test_a_reading_survives_the_wire_with_its_signer(active: int, reactive: int, interval: int, sequence: int) -> None:
    from market.domain.signing import sign_message

    draft = reading(sequence, active_energy_wh=active, reactive_energy_varh=reactive, interval=interval)
    signature = sign_message(KEY, draft.reading(), DOMAIN).compact()
    signed = draft.model_copy(update={"signature": "0x" + signature.hex()})
    found = parse(topic_for(GATEWAY, Channel.READINGS), ReadingBatch(readings=(signed,)).payload()).message
    assert isinstance(found, ReadingBatch)
    assert found.readings[0].signer(DOMAIN).lower() == GATEWAY


@pytest.mark.parametrize(
    "topic",
    [
        "meritgrid/v1/gw/0xABCDEF0000000000000000000000000000000000/readings",
        f"meritgrid/v2/gw/{GATEWAY}/readings",
        f"meritgrid/v1/gw/{GATEWAY}/reading",
        f"meritgrid/v1/gw/{GATEWAY}/readings/more",
        "",
    ],
)
def test_an_unknown_topic_is_refused(topic: str) -> None:
    with pytest.raises(MessageRefused) as refused:
        parse_topic(topic)
    assert refused.value.code == "unknown-topic"


def test_a_message_above_16_kib_is_refused() -> None:
    with pytest.raises(MessageRefused) as refused:
        parse(topic_for(GATEWAY, Channel.STATUS), b" " * (MAX_PAYLOAD_BYTES + 1))
    assert refused.value.code == "message-too-large"


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"\xff", b"null", b'{"version":2}'])
def test_broken_json_is_refused(payload: bytes) -> None:
    with pytest.raises(MessageRefused) as refused:
        parse(topic_for(GATEWAY, Channel.STATUS), payload)
    assert refused.value.code == "message-malformed"


def test_a_malformed_message_names_all_its_problems_at_once() -> None:
    document = json.loads(ReadingBatch(readings=(reading(),)).payload())
    document["version"] = 2
    document["extra"] = 1
    document["readings"][0] |= {"sequence": 0, "nanogrid": "7", "signature": "0x12"}
    with pytest.raises(MessageRefused) as refused:
        parse(topic_for(GATEWAY, Channel.READINGS), json.dumps(document).encode())
    pointers = {violation.pointer for violation in refused.value.violations}
    assert {
        "/version",
        "/extra",
        "/readings/0/sequence",
        "/readings/0/nanogrid",
        "/readings/0/signature",
    } <= pointers


def test_readings_of_a_batch_are_in_order() -> None:
    document = json.dumps({"version": 1, "readings": [reading(2).model_dump(mode="json")] * 2})
    with pytest.raises(MessageRefused, match="sequences do not increase"):
        parse(topic_for(GATEWAY, Channel.READINGS), document.encode())


def test_a_command_needs_the_dsos_proof() -> None:
    with pytest.raises(ValueError, match="a COMMAND carries"):
        DispatchOrder(
            id=GENESIS_HASH,
            kind=DispatchKind.COMMAND,
            nanogrid=1,
            interval=900,
            baseline_wh=0,
            change_wh=0,
            target_w=0,
            lease_end=1,
            signature="0x" + "00" * 64,
        )


def test_a_seal_names_its_signer_and_breaks_with_any_change() -> None:
    sealed = status()
    assert sealed.sealed_by(DOMAIN).lower() == GATEWAY
    changed = sealed.model_copy(update={"state": Liveness.OFFLINE})
    assert changed.sealed_by(DOMAIN).lower() != GATEWAY
    assert sealed.sealed_by(Domain(1, DOMAIN.contract)).lower() != GATEWAY


def test_a_seal_of_one_gateway_does_not_do_on_the_topic_of_another() -> None:
    with pytest.raises(MessageRefused, match="must be the gateway of the topic"):
        parse(topic_for("0x" + "22" * 20, Channel.STATUS), status().payload())


def test_a_seal_of_zeros_recovers_nobody() -> None:
    with pytest.raises(BadSignature):
        status().model_copy(update={"signature": "0x" + "00" * 64}).sealed_by(DOMAIN)


def test_an_acknowledgement_signs_its_reason() -> None:
    found = SignedAcknowledgement.signed(
        KEY, DOMAIN, nanogrid=1, dispatch=GENESIS_HASH, state="REJECTED", at=9, reason="late: it is too late"
    )
    assert found.signer(DOMAIN).lower() == GATEWAY
    assert found.model_copy(update={"reason": "late: really"}).signer(DOMAIN).lower() != GATEWAY
    assert reason_hash("") == bytes(32)


def test_the_hash_chain_covers_content_and_quality() -> None:
    one = reading()
    assert one.entry_hash(DOMAIN) != one.model_copy(update={"quality": Quality.MEASURED}).entry_hash(DOMAIN)
    assert one.entry_hash(DOMAIN) != one.model_copy(update={"active_energy_wh": 0}).entry_hash(DOMAIN)
    assert one.entry_hash(DOMAIN) != one.model_copy(update={"previous_hash": "0x" + "01" * 32}).entry_hash(DOMAIN)
