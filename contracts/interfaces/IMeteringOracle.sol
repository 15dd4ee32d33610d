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

    /// @param root Merkle root over the portfolio's baseline values (8 int32 a leaf, by nanogrid index). The lowest int32 stands where a
    /// nanogrid has none, as do the indices from `count` on: it can deliver nothing that would be paid
    struct BaselineAnchor {
        uint32 portfolio;
        uint32 interval;
        uint8 kind;
        uint16 count;
        bytes32 root;
    }

    event BaselineAnchored(uint32 indexed portfolio, uint32 indexed interval, uint8 kind, uint16 count, bytes32 root);
    event ReadingsAnchored(uint32 indexed interval, bytes32 root, uint32 count);
    event ReadingAnnounced(
        uint48 indexed nanogrid,
        uint32 indexed interval,
        int32 activeEnergyWh,
        int32 reactiveEnergyVarh,
        uint32 sequence,
        address by
    );
    event ReadingsAnnulled(uint48 indexed nanogrid, uint32 indexed interval, address by);

    error AlreadyAnchored(uint32 portfolio, uint32 interval, uint8 kind);
    error AnchoredTooLate(uint32 interval, uint256 deadline);
    error BaselineNotAnchored(uint32 portfolio, uint32 interval, uint8 kind);
    error BaselineAnchoredTooLate(uint32 portfolio, uint32 interval, uint256 anchoredAt, uint256 knownSince);
    error NotAnInterval(uint32 interval);
    error NotOracle(address caller);
    error BadReadingSignature(uint48 nanogrid, uint32 interval);
    error ReadingAlreadyAnnounced(uint48 nanogrid, uint32 interval);
    error AnnouncedTooLate(uint48 nanogrid, uint32 interval);
    error IntervalNotOver(uint32 interval);
    error ReadingsAgree(uint48 nanogrid, uint32 interval);
    error ReadingsOfDifferentIntervals();

    /// @notice The oracle anchors portfolios' baseline vectors, each once, until the latest gate closure (T - 1.4 u).
    function anchorBaselines(BaselineAnchor[] calldata anchors) external;
    /// @notice The oracle anchors the root of all readings of an interval that is over.
    function anchorReadings(uint32 interval, bytes32 root, uint32 count) external;
    /// @notice Anyone makes a gateway's reading of an interval known on the chain, once, until the reading deadline: from the end of the hold
    /// window on anyone may settle by it.
    /// @param signature The gateway's: see GatewaySignature
    function announceReading(Reading calldata reading, bytes calldata signature) external;
    /// @notice Anyone shows two readings of one gateway for one interval whose energies differ: the interval is annulled, the gateway unseated,
    /// the seat suspended.
    function annulReadings(
        Reading calldata first,
        bytes calldata firstSignature,
        Reading calldata second,
        bytes calldata secondSignature
    ) external;

    /// @notice Reverts unless the baselines were anchored before the second `knownSince`, in which the need for them became known: later
    /// they could have been inflated for it.
    function requireBaseline(uint32 portfolio, uint32 interval, uint8 kind, uint256 knownSince) external view;
    /// @notice What was anchored of a portfolio's interval for a kind of energy; all zero: nothing.
    function baselineOf(uint32 portfolio, uint32 interval, uint8 kind)
        external
        view
        returns (bytes32 root, uint64 anchoredAt, uint16 count);
    /// @notice What was announced of a nanogrid's interval: energies, sequence, when, and whether it was annulled.
    function announcedOf(uint48 nanogrid, uint32 interval) external view returns (Announcement);
    /// @notice Whether a gateway signed two readings of the interval that differ.
    function isAnnulled(uint48 nanogrid, uint32 interval) external view returns (bool);
    /// @notice Which nanogrids' readings are annulled: bit i stands for the portfolio's index 256 word + i.
    function annulledWord(uint32 portfolio, uint32 interval, uint256 word) external view returns (uint256 indices);
}
