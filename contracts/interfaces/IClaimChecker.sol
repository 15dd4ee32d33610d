// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "./IMeritOrderAuction.sol";

/// @notice Checks a claim about the merit order by one pass over the bids. It only computes: it holds no state and reads none, so anyone
/// can try a claim by a call before sending it. The auction makes its own in its constructor.
/// @dev Apart from MeritOrderAuction because both together are above the 24,576 bytes of EIP-170.
interface IClaimChecker {
    /// @param side 0 BUY, 1 SELL
    /// @param quantity The offer's [Wh or varh]
    /// @param superseded Words of the offer's superseded posts: for each 256 nanogrids whose first post is superseded, whose second one;
    /// empty when nobody has posted twice
    struct Auction {
        IMeritOrderAuction.Side side;
        uint40 quantity;
        uint256[] superseded;
    }

    /// @param reached The progress after the records
    /// @param brokenByRecords The rule that these records show to be broken, 0: none
    /// @param brokenAtEnd The rule that is broken if these were the last records, 0: none
    /// @param awardsRoot Root of the awards if these were the last records
    struct Finding {
        IMeritOrderAuction.Progress reached;
        uint8 brokenByRecords;
        uint8 brokenAtEnd;
        bytes32 awardsRoot;
    }

    /// @param records The records that follow `progress`, 12 bytes each
    /// @param rejected The verdict's bitmap by posting position, or empty
    /// @param progress Where an earlier chunk ended; with position 0 the pass begins
    function check(
        Auction calldata auction,
        IMeritOrderAuction.Claim calldata claim,
        bytes calldata records,
        bytes calldata rejected,
        IMeritOrderAuction.Progress calldata progress
    ) external pure returns (Finding memory finding);

    /// @notice The award records that stand after a verdict that nobody cleared again, in their order.
    /// @param awards Award records, 12 bytes each
    /// @param rejected The verdict's bitmap by posting position, or empty
    /// @return root Of all the awards
    /// @return standingAwards Those that are not rejected
    /// @return standingRoot Of those
    function standing(bytes calldata awards, bytes calldata rejected)
        external
        pure
        returns (bytes32 root, bytes memory standingAwards, bytes32 standingRoot);
}
