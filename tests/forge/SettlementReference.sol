// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISettlement} from "contracts/interfaces/ISettlement.sol";

/// @notice The money of one award by the rules of the protocol ("Settlement"). Wh (varh), micro-euro.
library SettlementReference {
    /// @param payerPrice What the escrow pays per kWh: the request's price, the bid's for INTERNAL
    struct Award {
        bool isSell;
        uint256 awarded;
        uint256 price;
        uint256 payerPrice;
    }

    struct Money {
        uint256 reserve;
        uint256 paid;
        uint256 margin;
        uint256 refunded;
        uint256 penalty;
    }

    /// @param heldBack The award was annulled by a hold: without penalty
    function money(Award memory award, uint8 outcome, uint256 taken, bool heldBack)
        internal
        pure
        returns (Money memory sums)
    {
        sums.paid = taken * award.price / 1000;
        bool isRevoked = outcome == uint8(ISettlement.Outcome.REVOKED);
        uint256 tolerated = award.awarded * 900 / 1000;
        if (!isRevoked && !heldBack && taken < tolerated) {
            sums.penalty = (tolerated - taken) * award.price * 1500 / 1_000_000;
        }
        if (award.isSell) return sums;
        uint256 spent = taken * award.payerPrice / 1000;
        sums.reserve = award.awarded * award.payerPrice / 1000;
        sums.margin = spent - sums.paid;
        sums.refunded = sums.reserve - spent;
    }

    /// @notice What a reading shows as delivered.
    function delivered(uint256 awarded, uint8 direction, int256 baseline, int256 metered)
        internal
        pure
        returns (uint256)
    {
        int256 change = direction == 0 ? baseline - metered : metered - baseline;
        if (change <= 0) return 0;
        return uint256(change) < awarded ? uint256(change) : awarded;
    }
}
