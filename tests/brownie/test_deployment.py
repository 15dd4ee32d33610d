"""The contracts know each other at the addresses that the plan predicted."""

from dataclasses import replace

import pytest
from stage import PARAMETERS

from market.chain.deployment import DeploymentError, read_deployment, write_deployment
from scripts.deploy import main


def test_each_contract_knows_the_others(stage):
    addresses = stage.deployment.addresses
    for contract in (
        stage.signals,
        stage.capacity_register,
        stage.auction,
        stage.metering,
        stage.settlement,
        stage.token,
    ):
        assert contract.registry() == addresses["ParticipantRegistry"]
    for contract in (stage.registry, stage.signals, stage.capacity_register, stage.auction, stage.metering):
        assert contract.settlement() == addresses["Settlement"]
    assert stage.settlement.token() == addresses["SettlementToken"]
    assert stage.settlement.auction() == stage.signals.auction() == addresses["MeritOrderAuction"]
    assert stage.settlement.metering() == stage.auction.metering() == addresses["MeteringOracle"]
    assert stage.settlement.signals() == stage.auction.signals() == addresses["GridSignals"]
    assert stage.settlement.capacityRegister() == stage.auction.capacityRegister() == addresses["CapacityRegister"]


def test_the_parameters_are_public(stage):
    assert stage.registry.timeUnitS() == PARAMETERS.time_unit_s
    assert stage.settlement.readingDeadlineS() == stage.metering.readingDeadlineS() == PARAMETERS.reading_deadline_s
    assert stage.settlement.holdWindowS() == PARAMETERS.hold_window_s
    assert stage.settlement.holdTermS() == PARAMETERS.hold_term_s
    assert stage.settlement.holdBondUeur() == PARAMETERS.hold_bond_ueur
    assert stage.settlement.unbondingS() == PARAMETERS.unbonding_s
    assert stage.settlement.offerHorizonS() == PARAMETERS.offer_horizon_s


def test_a_deployment_is_kept_and_not_made_twice(tmp_path, monkeypatch, accounts):
    path = tmp_path / "addresses.json"
    monkeypatch.setenv("MERITGRID_DEPLOYMENT_FILE", str(path))
    monkeypatch.setenv("MERITGRID_DEPLOY_TIME_UNIT_S", "300")
    main()
    first = read_deployment(path)
    assert first.parameters.time_unit_s == 300
    nonce = accounts[0].nonce
    main()
    assert accounts[0].nonce == nonce
    assert read_deployment(path) == first


def test_a_deployment_that_is_not_on_this_chain_is_replaced_on_demand_only(stage, tmp_path, monkeypatch):
    path = tmp_path / "addresses.json"
    monkeypatch.setenv("MERITGRID_DEPLOYMENT_FILE", str(path))
    elsewhere = replace(stage.deployment, addresses=dict.fromkeys(stage.deployment.addresses, stage.stranger.address))
    write_deployment(path, elsewhere)
    with pytest.raises(DeploymentError, match="not on this chain"):
        main()
    monkeypatch.setenv("MERITGRID_DEPLOY_REPLACE", "1")
    main()
    assert read_deployment(path) != elsewhere
