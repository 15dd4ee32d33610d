// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IClaimChecker} from "./interfaces/IClaimChecker.sol";
import {IMeritOrderAuction} from "./interfaces/IMeritOrderAuction.sol";
import {ClaimCheck} from "./libraries/ClaimCheck.sol";
import {VectorTree} from "./libraries/VectorTree.sol";

contract ClaimChecker is IClaimChecker {
    /// @inheritdoc IClaimChecker
    function check(
        Auction memory auction,
        IMeritOrderAuction.Claim memory claim,
        bytes calldata records,
        bytes calldata rejected,
        IMeritOrderAuction.Progress memory progress
    ) external pure returns (Finding memory finding) {
        ClaimCheck.requireShape(claim);
        if (progress.position == 0) progress = ClaimCheck.begin(claim.passedOver.length);
        finding.brokenByRecords =
            ClaimCheck.replay(progress, claim, auction.side, auction.superseded, records, rejected);
        finding.brokenAtEnd = ClaimCheck.brokenRule(progress, claim, auction.quantity);
        finding.awardsRoot = ClaimCheck.awardsRoot(progress);
        finding.reached = progress;
    }

    /// @inheritdoc IClaimChecker
    function standing(bytes calldata awards, bytes calldata rejected)
        external
        pure
        returns (bytes32 root, bytes memory standingAwards, bytes32 standingRoot)
    {
        standingAwards = awards;
        root = VectorTree.rootOfAwards(standingAwards);
        if (rejected.length == 0) return (root, standingAwards, root);
        standingAwards = ClaimCheck.withoutRejected(standingAwards, rejected);
        standingRoot = VectorTree.rootOfAwards(standingAwards);
    }
}
