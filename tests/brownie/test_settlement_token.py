"""SettlementToken: minted against real money, burned by the operator from its own balance only."""

from brownie import reverts
from stage import EUR, thrown

REFERENCE = b"transfer 2026-11-20 17".ljust(32, b"\0")


def test_one_token_is_one_euro_in_micro_euro(stage):
    assert stage.token.decimals() == 6


def test_the_operator_mints(stage):
    transaction = stage.token.mint(stage.stranger, 5 * EUR, REFERENCE, {"from": stage.operator})
    assert transaction.events["Minted"]["amountUeur"] == 5 * EUR
    assert bytes(transaction.events["Minted"]["reference_"]) == REFERENCE
    assert stage.token.balanceOf(stage.stranger) == stage.token.totalSupply() == 5 * EUR
    with reverts(thrown("NotOperator", stage.stranger)):
        stage.token.mint(stage.stranger, 1, REFERENCE, {"from": stage.stranger})


def test_the_operator_burns_what_it_holds_itself(stage):
    stage.token.mint(stage.stranger, 5 * EUR, REFERENCE, {"from": stage.operator})
    with reverts(thrown("ERC20InsufficientBalance", stage.operator, 0, 1)):
        stage.token.burn(1, REFERENCE, {"from": stage.operator})
    stage.token.transfer(stage.operator, 2 * EUR, {"from": stage.stranger})
    transaction = stage.token.burn(2 * EUR, REFERENCE, {"from": stage.operator})
    assert transaction.events["Burned"]["amountUeur"] == 2 * EUR
    assert stage.token.totalSupply() == 3 * EUR
    with reverts(thrown("NotOperator", stage.stranger)):
        stage.token.burn(1, REFERENCE, {"from": stage.stranger})
