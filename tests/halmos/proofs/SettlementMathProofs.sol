// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "contracts/interfaces/IMeritOrderAuction.sol";
import {ISettlement} from "contracts/interfaces/ISettlement.sol";
import {AwardEnd, AwardEnds} from "contracts/libraries/AwardEnd.sol";
import {BidRecord} from "contracts/libraries/BidRecord.sol";
import {SettlementMath} from "contracts/libraries/SettlementMath.sol";
import {Symbolic} from "./Symbolic.sol";

/// @notice Settlement's arithmetic: no panic, nothing delivered beyond the award, nothing charged beyond price times energy.
/// @dev A BUY award's margin and refund are differences of amounts: that amounts grow with price and with quantity is what keeps
/// them from underflowing: paid <= spent <= reserve.
contract SettlementMathProofs is Symbolic {
    /// @dev No solver decides products of unknowns at their full 24 and 29 bits in minutes. Where money is multiplied, the proofs
    /// take all quantities and prices of these widths; test_settlement_math.py draws from the full ones.
    uint256 private constant _QUANTITIES = 2 ** 8;
    uint256 private constant _PRICES = 2 ** 10;

    function check_delivery_is_never_more_than_awarded(uint24 awarded, bool isDown, int32 baseline, int32 metered)
        external
        pure
    {
        uint24 delivered = SettlementMath.delivered(awarded, isDown, baseline, metered);
        int256 change = isDown ? int256(metered) - baseline : int256(baseline) - metered;
        assert(delivered <= awarded);
        assert(change > 0 || delivered == 0);
        assert(change <= 0 || delivered == awarded || int256(uint256(delivered)) == change);
        assert(change < int256(uint256(awarded)) || delivered == awarded);
    }

    function check_a_buy_award_spends_its_reserve_and_no_more(BidRecord record, uint24 delivered, uint32 requestPrice)
        external
        pure
    {
        vm.assume(record.quantity() < _QUANTITIES && delivered <= record.quantity());
        vm.assume(record.priceUeurKwh() <= requestPrice && requestPrice < _PRICES && requestPrice != 0);
        AwardEnd award = AwardEnds.open(record, 0).ended(ISettlement.Outcome.SHORT, delivered);
        (uint256 reserve, uint256 spent, uint256 paid) = SettlementMath.purchaseOf(award, requestPrice);
        assert(paid <= spent && spent <= reserve);
    }

    function check_a_buy_award_that_delivers_nothing_returns_its_reserve(BidRecord record, uint32 requestPrice)
        external
        pure
    {
        vm.assume(record.quantity() < _QUANTITIES && requestPrice < _PRICES && record.priceUeurKwh() < _PRICES);
        AwardEnd award = AwardEnds.open(record, 0);
        _assertReturned(SettlementMath.revoked(award), requestPrice);
        _assertReturned(SettlementMath.heldBack(award), requestPrice);
        AwardEnd missing = SettlementMath.missing(award, IMeritOrderAuction.Side.BUY);
        // Of 1 Wh nine tenths, rounded down, are nothing: that much is tolerated.
        assert(missing.delivered() == 0 && missing.isPenalised() == (record.quantity() > 1));
    }

    function check_an_interrupted_award_keeps_its_pay_and_costs_no_penalty(
        BidRecord record,
        bool isDown,
        int32 baseline,
        int32 metered
    ) external pure {
        AwardEnd read = SettlementMath.byReading(AwardEnds.open(record, 0), isDown, baseline, metered);
        AwardEnd end = read.interrupted();
        assert(end.delivered() == read.delivered() && !end.isPenalised() && !end.isSkipped());
        assert(AwardEnd.unwrap(end) == AwardEnd.unwrap(read.interrupted().interrupted()));
        assert(SettlementMath.penaltyOf(end) == 0);
    }

    function check_a_sell_award_without_reading_counts_as_taken(BidRecord record) external pure {
        AwardEnd missing = SettlementMath.missing(AwardEnds.open(record, 0), IMeritOrderAuction.Side.SELL);
        assert(missing.delivered() == record.quantity());
    }

    /// @dev Rounded down, once: the payer is never charged more than its price for the delivery.
    function check_an_amount_is_rounded_down(uint24 quantity, uint32 priceUeurKwh) external pure {
        vm.assume(priceUeurKwh < 2 ** 29);
        uint256 amount = SettlementMath.amount(quantity, priceUeurKwh);
        unchecked {
            assert(uint256(quantity) * priceUeurKwh - amount * 1000 < 1000);
        }
    }

    function check_an_amount_grows_with_its_price(uint24 quantity, uint32 less, uint32 more) external pure {
        vm.assume(less <= more && more < _PRICES && quantity < _QUANTITIES);
        assert(SettlementMath.amount(quantity, less) <= SettlementMath.amount(quantity, more));
    }

    function check_an_amount_grows_with_its_quantity(uint24 less, uint24 more, uint32 priceUeurKwh) external pure {
        vm.assume(less <= more && more < _QUANTITIES && priceUeurKwh < _PRICES);
        assert(SettlementMath.amount(less, priceUeurKwh) <= SettlementMath.amount(more, priceUeurKwh));
    }

    function check_the_cover_is_an_eighth_of_the_bond_in_cents(uint96 bondUeur) external pure {
        uint256 cents = SettlementMath.coverCents(bondUeur);
        uint256 exact = bondUeur / 80_000;
        assert(cents == (exact > type(uint24).max ? type(uint24).max : exact));
    }

    function _assertReturned(AwardEnd award, uint32 requestPrice) private pure {
        (, uint256 spent, uint256 paid) = SettlementMath.purchaseOf(award, requestPrice);
        assert(paid == 0 && spent == 0 && SettlementMath.penaltyOf(award) == 0);
    }
}
