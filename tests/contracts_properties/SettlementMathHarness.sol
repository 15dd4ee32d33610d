// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "../../contracts/interfaces/IMeritOrderAuction.sol";
import {AwardEnd, AwardEnds} from "../../contracts/libraries/AwardEnd.sol";
import {BidRecords} from "../../contracts/libraries/BidRecord.sol";
import {SettlementMath} from "../../contracts/libraries/SettlementMath.sol";

/// @notice Lets tests call settlement's arithmetic without a market around it. Not part of the product.
contract SettlementMathHarness {
    /// @param award The 12-byte award record
    struct Case {
        IMeritOrderAuction.Side side;
        IMeritOrderAuction.Direction direction;
        bytes award;
        uint32 ordinal;
        uint32 requestPriceUeurKwh;
        int32 baseline;
        int32 metered;
    }

    struct Amounts {
        uint256 reserveUeur;
        uint256 spentUeur;
        uint256 paidUeur;
        uint256 penaltyUeur;
        bool isMissing;
    }

    /// @notice Ends by a reading, without one, revoked, annulled, held back, and the two first interrupted: the results and the amounts of each.
    function settle(Case calldata given) external pure returns (bytes memory results, Amounts[7] memory amounts) {
        AwardEnd award = AwardEnds.open(BidRecords.read(given.award, 0), given.ordinal);
        AwardEnd read = SettlementMath.byReading(
            award, given.direction == IMeritOrderAuction.Direction.DOWN, given.baseline, given.metered
        );
        AwardEnd missing = SettlementMath.missing(award, given.side);
        AwardEnd[7] memory ends = [
            read,
            missing,
            SettlementMath.revoked(award),
            SettlementMath.annulled(award),
            SettlementMath.heldBack(award),
            read.interrupted(),
            missing.interrupted()
        ];
        results = AwardEnds.resultsOf(ends.length);
        for (uint256 i = 0; i < ends.length; ++i) {
            Amounts memory each = amounts[i];
            if (given.side == IMeritOrderAuction.Side.SELL) {
                each.paidUeur = SettlementMath.saleOf(ends[i]);
            } else {
                (each.reserveUeur, each.spentUeur, each.paidUeur) =
                    SettlementMath.purchaseOf(ends[i], given.requestPriceUeurKwh);
            }
            each.penaltyUeur = SettlementMath.penaltyOf(ends[i]);
            each.isMissing = ends[i].isMissing();
            ends[i].pushResult(results);
        }
    }

    function coverCents(uint256 bondUeur) external pure returns (uint24) {
        return SettlementMath.coverCents(bondUeur);
    }
}
