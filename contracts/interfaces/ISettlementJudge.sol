// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AwardEnd} from "../libraries/AwardEnd.sol";
import {BidRecord} from "../libraries/BidRecord.sol";
import {ISettlement} from "./ISettlement.sol";

/// @notice What Settlement's bookings rest on: checks awards, baselines, readings and deadlines, and says how each award and command
/// ends, or why it does not yet. It only reads: it holds no state and no money, and Settlement makes its own in its constructor.
/// @dev Apart from Settlement because both together are above the 24,576 bytes of EIP-170. Errors are those of ISettlement. Whether an
/// award is settled already or on hold, Settlement knows. `ends`: a list of AwardEnds.
interface ISettlementJudge {
    struct CommandJudgement {
        uint24 delivered;
        int32 baseline;
        int32 metered;
        uint256 dueUeur;
    }

    /// @notice What a settlement of the offer must give; its terms are final only when the offer is.
    function bindingOf(bytes32 offer) external view returns (ISettlement.Binding memory);
    /// @notice Awards by readings, against the whole baseline vector. Settlement checks the binding.
    function byReadings(
        address caller,
        bytes32 offer,
        ISettlement.Binding calldata binding,
        bytes calldata baselines,
        ISettlement.AwardRange calldata awards,
        bytes calldata readings
    ) external view returns (bytes memory ends);
    /// @notice One award by its reading and a proven baseline: Settlement's own call, with the address of its caller as 20 bytes behind
    /// the arguments. Settlement checks the binding.
    /// @return end How the award ends
    /// @return gateway Who must be the seat's gateway for that (0: nobody)
    function settleAward(
        bytes32 offer,
        ISettlement.Binding calldata binding,
        bytes32 baselines,
        bytes calldata awards,
        bytes calldata reading,
        bytes32[] calldata proof
    ) external view returns (AwardEnd end, address gateway);
    /// @notice All awards of a range without a reading.
    function byExpiry(bytes32 offer, ISettlement.AwardRange calldata awards)
        external
        view
        returns (ISettlement.Binding memory binding, bytes memory ends);
    /// @notice Reverts unless the award exists and the signer may hold it.
    function checkHold(bytes32 offer, uint32 ordinal, ISettlement.AwardRange calldata award, address signer)
        external
        view
        returns (BidRecord record);
    /// @notice A command by its reading; reverts where it cannot be settled.
    function byCommand(
        address caller,
        uint48 nanogrid,
        uint32 interval,
        ISettlement.BaselineLeaf calldata baseline,
        ISettlement.AwardReading calldata reading,
        bytes32 awardOffer,
        ISettlement.AwardRange calldata award
    ) external view returns (CommandJudgement memory judgement);
    /// @notice Reverts while a command's reading may still come.
    function checkCommandExpiry(uint48 nanogrid, uint32 interval) external view;
}
