// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AwardMarks} from "../../contracts/libraries/AwardMarks.sol";
import {Calendar} from "../../contracts/libraries/Calendar.sol";
import {GatewaySignature} from "../../contracts/libraries/GatewaySignature.sol";
import {Months} from "../../contracts/libraries/Months.sol";
import {Products} from "../../contracts/libraries/Products.sol";
import {VectorProof} from "../../contracts/libraries/VectorProof.sol";
import {VectorTree} from "../../contracts/libraries/VectorTree.sol";

/// @notice Lets tests call the libraries that keep nothing. Not part of the product.
contract LibrariesHarness {
    function before(uint256 moment, uint256 timeUnitS, uint256 hundredths) external pure returns (uint256) {
        return Calendar.before(moment, timeUnitS, hundredths);
    }

    function afterwards(uint256 moment, uint256 timeUnitS, uint256 hundredths) external pure returns (uint256) {
        return Calendar.afterwards(moment, timeUnitS, hundredths);
    }

    function isInterval(uint256 interval, uint256 timeUnitS) external pure returns (bool) {
        return Calendar.isInterval(interval, timeUnitS);
    }

    function month(uint256 timestamp) external pure returns (uint16 number, uint256 start, uint256 hoursIn) {
        number = Months.monthOf(timestamp);
        return (number, Months.startOf(number), Months.hoursOf(number));
    }

    /// @notice The months of days, counted from 1970-01-01, at their first and last seconds: two for each day.
    function monthsOfDays(uint256 first, uint256 count) external pure returns (uint16[] memory months) {
        months = new uint16[](2 * count);
        for (uint256 i = 0; i < count; ++i) {
            months[2 * i] = Months.monthOf((first + i) * 1 days);
            months[2 * i + 1] = Months.monthOf((first + i + 1) * 1 days - 1);
        }
    }

    function product(uint8 code) external pure returns (bool exists, uint8 kind, bool answersRequest) {
        return (Products.exists(code), Products.kindOf(code), Products.answersRequest(code));
    }

    function rootOfAwards(bytes calldata awards) external pure returns (bytes32) {
        return VectorTree.rootOfAwards(awards);
    }

    function verify(
        bytes32 root,
        uint256 first,
        bytes calldata content,
        uint256 leafBytes,
        uint256 leafCount,
        bytes32[] calldata proof
    ) external pure returns (bool) {
        return VectorProof.verify(root, first, content, leafBytes, leafCount, proof);
    }

    function verifyLeaf(bytes32 root, uint256 index, bytes32 leaf, uint256 leafCount, bytes32[] calldata proof)
        external
        pure
        returns (bool)
    {
        return VectorProof.verifyLeaf(root, index, leaf, leafCount, proof);
    }

    function pathLength(uint256 index, uint256 leafCount) external pure returns (uint256) {
        return VectorProof.pathLength(index, leafCount);
    }

    function marksLeft(uint256 count, uint256 word, uint256[] calldata ended) external pure returns (uint256 marks) {
        marks = AwardMarks.firstOf(count, word);
        for (uint256 i = 0; i < ended.length; ++i) marks = AwardMarks.withoutMark(marks, ended[i]);
    }

    function gatewayOf(bytes32 digest, bytes calldata signature) external view returns (address) {
        return GatewaySignature.signerOf(digest, signature);
    }

    function isGiven(bytes calldata signature) external pure returns (bool) {
        return GatewaySignature.isGiven(signature);
    }

    function isMarked(uint256 word, uint256 ordinal) external pure returns (uint256 number, bool) {
        return (AwardMarks.wordOf(ordinal), AwardMarks.isMarked(word, ordinal));
    }
}
