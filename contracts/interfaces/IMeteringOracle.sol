// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Announcement} from "../libraries/Announcement.sol";

/// @notice Anchors of baselines and of all readings, announced readings, and readings annulled because a gateway signed two that differ.
interface IMeteringOracle {
    /// @notice A gateway's EIP-712 message (domain of Settlement): net energy of one interval at the connection point, + = withdrawal.
    struct Reading {
        uint48 nanogrid;
        uint32 interval;
        int32 activeEnergyWh;
        int32 reactiveEnergyVarh;
        uint32 sequence;
    }

    /// @param root Merkle root over the portfolio's baseline values (8 int32 a leaf, by nanogrid index)
    struct BaselineAnchor {
        uint32 portfolio;
        uint32 interval;
        uint8 kind;
        uint16 count;
        bytes32 root;
    }

    event BaselineAnchored(uint32 indexed portfolio, uint32 indexed interval, uint8 kind, uint16 count, bytes32 root);
    event ReadingsAnchored(uint32 indexed interval, bytes32 root, uint32 count);
    event ReadingAnnounced(uint48 indexed nanogrid, uint32 indexed interval, bytes32 readingHash, address by);
    event ReadingsAnnulled(uint48 indexed nanogrid, uint32 indexed interval, address by);

    error AlreadyAnchored(uint32 portfolio, uint32 interval, uint8 kind);
    error AnchoredTooLate(uint32 interval, uint256 deadline);
    error NotAnInterval(uint32 interval);
    error NotOracle(address caller);
    error BadReadingSignature(uint48 nanogrid, uint32 interval);
    error ReadingAlreadyAnnounced(uint48 nanogrid, uint32 interval);
    error AnnouncedTooLate(uint48 nanogrid, uint32 interval);
    error IntervalNotOver(uint32 interval);
    error ReadingsAgree(uint48 nanogrid, uint32 interval);
    error ReadingsOfDifferentIntervals();

    function anchorBaselines(BaselineAnchor[] calldata anchors) external;
    function anchorReadings(uint32 interval, bytes32 root, uint32 count) external;
    /// @param signature The gateway's: see GatewaySignature
    function announceReading(Reading calldata reading, bytes calldata signature) external;
    function annulReadings(
        Reading calldata first,
        bytes calldata firstSignature,
        Reading calldata second,
        bytes calldata secondSignature
    ) external;

    function baselineOf(uint32 portfolio, uint32 interval, uint8 kind)
        external
        view
        returns (bytes32 root, uint64 anchoredAt, uint16 count);
    function announcedOf(uint48 nanogrid, uint32 interval) external view returns (Announcement);
    function isAnnulled(uint48 nanogrid, uint32 interval) external view returns (bool);
    /// @notice Which nanogrids' readings are annulled: bit i stands for the portfolio's index 256 word + i.
    function annulledWord(uint32 portfolio, uint32 interval, uint256 word) external view returns (uint256 indices);
}
