// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SettlementMath} from "../../contracts/libraries/SettlementMath.sol";
import {VectorProof} from "../../contracts/libraries/VectorProof.sol";

/// @notice Lets tests call settlement's arithmetic without a market around it. Not part of the product.
contract SettlementMathHarness {
    /// @param metered Of each terms with the baseline beside it
    function settle(SettlementMath.Terms[] memory terms, int32[] memory baselines, int32[] memory metered)
        external
        pure
        returns (SettlementMath.Result[] memory read, SettlementMath.Result[4] memory others)
    {
        read = new SettlementMath.Result[](terms.length);
        for (uint256 i = 0; i < terms.length; ++i) {
            read[i] = SettlementMath.byReading(terms[i], baselines[i], metered[i]);
        }
        others = [
            SettlementMath.missing(terms[0]),
            SettlementMath.revoked(terms[0]),
            SettlementMath.annulled(terms[0]),
            SettlementMath.heldBack(terms[0])
        ];
    }

    function coverCents(uint256 bondUeur) external pure returns (uint24) {
        return SettlementMath.coverCents(bondUeur);
    }

    /// @notice Whether a leaf is proven at its place.
    function verify(bytes32[] calldata proof, bytes32 root, bytes32 leaf, uint256 index, uint256 leafCount)
        external
        pure
        returns (bool)
    {
        return VectorProof.verify(proof, root, leaf, index, leafCount);
    }

    /// @notice Lengths of the proofs of all leaves of a tree.
    function lengths(uint256 leafCount) external pure returns (uint256[] memory siblings) {
        siblings = new uint256[](leafCount);
        for (uint256 index = 0; index < leafCount; ++index) siblings[index] = VectorProof.length(index, leafCount);
    }
}
