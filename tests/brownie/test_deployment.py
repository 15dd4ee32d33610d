"""The contracts know each other at the addresses that the plan predicted."""

from stage import PARAMETERS


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
