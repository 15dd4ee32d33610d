// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BidRecord} from "../libraries/BidRecord.sol";
import {SettlementMath} from "../libraries/SettlementMath.sol";
import {IMeritOrderAuction} from "./IMeritOrderAuction.sol";
import {ISettlement} from "./ISettlement.sol";

/// @notice What Settlement's bookings rest on: checks awards, baselines, readings and deadlines, and says how each award and command
/// ends. It only reads: it holds no state and no money, and Settlement makes its own in its constructor.
/// @dev Apart from Settlement because both together are above the 24,576 bytes of EIP-170. Errors are those of ISettlement.
interface ISettlementJudge {
    /// @param payer Who pays for the energy: the request's DSO, or the aggregator for INTERNAL
    struct Parties {
        IMeritOrderAuction.Side side;
        address payer;
        address aggregator;
    }

    /// @notice How an award ends, or why not. Whether it is settled already or on hold, Settlement knows.
    /// @param missing Ended because no reading came
    struct Judgement {
        uint48 nanogrid;
        uint32 ordinal;
        ISettlement.Skip skip;
        bool missing;
        uint24 awarded;
        int32 baseline;
        int32 metered;
        SettlementMath.Result result;
    }

    struct CommandJudgement {
        uint24 delivered;
        int32 baseline;
        int32 metered;
        uint256 dueUeur;
    }

    /// @notice Awards by readings, against the whole baseline vector.
    function byReadings(
        address caller,
        bytes32 offer,
        bytes calldata baselines,
        ISettlement.AwardLeaf[] calldata leaves,
        ISettlement.AwardReading[] calldata readings
    ) external view returns (Parties memory parties, Judgement[] memory judgements);
    /// @notice One award by its reading and a proven baseline.
    function byReading(
        address caller,
        bytes32 offer,
        ISettlement.BaselineLeaf calldata baseline,
        ISettlement.AwardLeaf calldata leaf,
        ISettlement.AwardReading calldata reading
    ) external view returns (Parties memory parties, Judgement[] memory judgements);
    /// @notice All awards of the leaves without a reading.
    function byExpiry(bytes32 offer, ISettlement.AwardLeaf[] calldata leaves)
        external
        view
        returns (Parties memory parties, Judgement[] memory judgements);
    /// @notice An award whose hold the referee upheld.
    function byHold(bytes32 offer, uint32 ordinal, BidRecord record)
        external
        view
        returns (Parties memory parties, Judgement memory judgement);
    /// @notice Reverts unless the award exists and the signer may hold it.
    function checkHold(bytes32 offer, uint32 ordinal, ISettlement.AwardLeaf calldata leaf, address signer)
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
        ISettlement.AwardLeaf calldata award
    ) external view returns (CommandJudgement memory judgement);
    /// @notice Reverts while a command's reading may still come.
    function checkCommandExpiry(uint48 nanogrid, uint32 interval) external view;
}
