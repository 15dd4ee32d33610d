// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "../../contracts/interfaces/IMeritOrderAuction.sol";
import {ClaimCheck} from "../../contracts/libraries/ClaimCheck.sol";

/// @notice Lets tests call the auction's check of a claim without an auction around it. Not part of the product.
contract ClaimCheckHarness {
    /// @param cuts Where chunks end, in records, increasing; the last chunk goes to the end
    function check(
        IMeritOrderAuction.Side side,
        uint256[] memory superseded,
        uint256 quantity,
        IMeritOrderAuction.Claim memory claim,
        bytes calldata records,
        bytes calldata rejected,
        uint256[] calldata cuts
    ) external pure returns (uint8 rule, bytes32 awardsRoot, IMeritOrderAuction.Progress memory progress) {
        ClaimCheck.requireShape(claim);
        progress = ClaimCheck.begin(claim.passedOver.length);
        uint256 from = 0;
        for (uint256 i = 0; i <= cuts.length; ++i) {
            uint256 to = i < cuts.length ? cuts[i] * 12 : records.length;
            rule = ClaimCheck.replay(progress, claim, side, superseded, records[from:to], rejected);
            if (rule != 0) return (rule, bytes32(0), progress);
            // As between two transactions: nothing survives but what the encoding carries.
            progress = abi.decode(abi.encode(progress), (IMeritOrderAuction.Progress));
            from = to;
        }
        return (ClaimCheck.brokenRule(progress, claim, quantity), ClaimCheck.awardsRoot(progress), progress);
    }

    function withoutRejected(bytes calldata awards, bytes calldata rejected) external pure returns (bytes memory) {
        return ClaimCheck.withoutRejected(awards, rejected);
    }
}
