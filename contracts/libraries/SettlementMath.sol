// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "../interfaces/IMeritOrderAuction.sol";
import {ISettlement} from "../interfaces/ISettlement.sol";
import {AwardEnd} from "./AwardEnd.sol";

/// @notice The arithmetic of settlement, without state. Its twin is market/domain/settlement.py.
/// @dev Energies in Wh (varh), load convention; prices in micro-euro per kWh (kvarh); amounts in micro-euro, rounded down toward
/// the payer once, at the end.
library SettlementMath {
    uint256 internal constant TOLERATED_PER_MILLE = 900;
    uint256 internal constant PENALTY_PER_MILLE = 1500;
    uint256 internal constant BOND_COVERS = 8;
    uint256 internal constant UEUR_PER_CENT = 10_000;
    /// @notice In place of a nanogrid's baseline where it has none: against 0 whatever it draws or feeds in would count as delivered.
    int32 internal constant NO_BASELINE = type(int32).min;

    /* HOW AN AWARD ENDS */

    /// @notice With a reading.
    function byReading(AwardEnd award, bool isDown, int32 baseline, int32 metered)
        internal
        pure
        returns (AwardEnd)
    {
        uint24 awarded = award.record().quantity();
        uint24 delivered_ = delivered(awarded, isDown, baseline, metered);
        return award.measured(baseline, metered).ended(_outcome(awarded, delivered_), delivered_);
    }

    /// @notice Without a reading: BUY delivers nothing and is penalised; SELL counts as fully taken, without penalty.
    function missing(AwardEnd award, IMeritOrderAuction.Side side) internal pure returns (AwardEnd) {
        uint24 awarded = award.record().quantity();
        uint24 delivered_ = side == IMeritOrderAuction.Side.SELL ? awarded : 0;
        return award.asMissing().ended(_outcome(awarded, delivered_), delivered_);
    }

    /// @notice RED before the interval: nothing paid, no penalty. One that a command interrupts later: `AwardEnds.interrupted`.
    function revoked(AwardEnd award) internal pure returns (AwardEnd) {
        return award.endedAs(ISettlement.Outcome.REVOKED);
    }

    /// @notice Two signed readings that differ: nothing paid, penalty as if nothing was delivered.
    function annulled(AwardEnd award) internal pure returns (AwardEnd) {
        return award.endedAs(ISettlement.Outcome.ANNULLED).penalised();
    }

    /// @notice By a hold that the referee upheld: annulled without penalty.
    function heldBack(AwardEnd award) internal pure returns (AwardEnd) {
        return award.endedAs(ISettlement.Outcome.ANNULLED);
    }

    /* WHAT IT COMES TO */

    /// @notice BUY: what the award's escrow holds, what of it is spent, and what of that the seat is paid. The rest of the escrow goes back
    /// to the payer, the rest of what is spent is the aggregator's margin. [micro-euro]
    /// @param requestPriceUeurKwh What the escrow pays per kWh; 0 for INTERNAL: the bid's price
    function purchaseOf(AwardEnd award, uint256 requestPriceUeurKwh)
        internal
        pure
        returns (uint256 reserveUeur, uint256 spentUeur, uint256 paidUeur)
    {
        uint256 bidPriceUeurKwh = award.record().priceUeurKwh();
        uint256 payerPriceUeurKwh = requestPriceUeurKwh == 0 ? bidPriceUeurKwh : requestPriceUeurKwh;
        uint256 delivered_ = award.delivered();
        reserveUeur = amount(award.record().quantity(), payerPriceUeurKwh);
        spentUeur = amount(delivered_, payerPriceUeurKwh);
        paidUeur = amount(delivered_, bidPriceUeurKwh);
    }

    /// @notice SELL: what the seat owes. [micro-euro]
    function saleOf(AwardEnd award) internal pure returns (uint256) {
        return amount(award.delivered(), award.record().priceUeurKwh());
    }

    /// @notice What the seat's bond owes to the payer. [micro-euro]
    function penaltyOf(AwardEnd award) internal pure returns (uint256) {
        if (!award.isPenalised()) return 0;
        return penalty(award.record().quantity(), award.delivered(), award.record().priceUeurKwh());
    }

    /* PARTS */

    /// @notice min(awarded, max(0, (baseline - metered) * s)), s = +1 for UP and -1 for DOWN.
    function delivered(uint24 awarded, bool isDown, int32 baseline, int32 metered)
        internal
        pure
        returns (uint24)
    {
        unchecked {
            int256 change = int256(baseline) - int256(metered); // of 32 bits each
            if (isDown) change = -change;
            if (change <= 0) return 0;
            // forge-lint: disable-next-line(unsafe-typecast) below an uint24
            return change < int256(uint256(awarded)) ? uint24(uint256(change)) : awarded;
        }
    }

    /// @notice floor(quantity * price / 1000) [micro-euro].
    function amount(uint256 quantity, uint256 priceUeurKwh) internal pure returns (uint256) {
        unchecked {
            return quantity * priceUeurKwh / 1000; // 24 and 32 bits multiplied
        }
    }

    /// @notice 1.5 times the price on the shortfall beyond the tolerance [micro-euro].
    function penalty(uint256 awarded, uint256 delivered_, uint256 priceUeurKwh) internal pure returns (uint256) {
        unchecked {
            uint256 tolerated_ = _tolerated(awarded);
            if (delivered_ >= tolerated_) return 0;
            return (tolerated_ - delivered_) * priceUeurKwh * PENALTY_PER_MILLE / 1_000_000; // 24, 32 and 11 bits
        }
    }

    /// @notice Cover of a seat: an eighth of its bond in whole euro cents, at most what 24 bits hold.
    function coverCents(uint256 bondUeur) internal pure returns (uint24) {
        uint256 cents = bondUeur / BOND_COVERS / UEUR_PER_CENT;
        // forge-lint: disable-next-line(unsafe-typecast) checked beside it
        return cents > type(uint24).max ? type(uint24).max : uint24(cents);
    }

    function _tolerated(uint256 awarded) private pure returns (uint256) {
        unchecked {
            return awarded * TOLERATED_PER_MILLE / 1000; // 24 and 10 bits multiplied
        }
    }

    function _outcome(uint256 awarded, uint256 delivered_) private pure returns (ISettlement.Outcome) {
        if (delivered_ >= _tolerated(awarded)) return ISettlement.Outcome.DELIVERED;
        return delivered_ == 0 ? ISettlement.Outcome.FAILED : ISettlement.Outcome.SHORT;
    }
}
