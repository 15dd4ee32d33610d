// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "contracts/interfaces/IMeritOrderAuction.sol";
import {MeritOrderReference} from "./MeritOrderReference.sol";
import {TreeReference} from "./TreeReference.sol";

/// @notice What a dishonest clearer may change about the right claim, and what an honest one hands on between chunks.
library ClaimForgery {
    uint256 internal constant CLAIM_FORGERIES = 9;
    uint256 internal constant RECORD_FORGERIES = 5;

    /// @param lie Which field, from 0 on
    /// @param dice Any number
    function ofClaim(
        IMeritOrderAuction.Claim memory claim,
        MeritOrderReference.Auction memory auction,
        uint256 lie,
        uint256 dice
    ) internal pure {
        uint64 other = _someRank(auction, dice);
        if (lie == 0) claim.marginal = other;
        else if (lie == 1) claim.marginal = type(uint64).max;
        else if (lie == 2) claim.marginal ^= uint64(1 << (dice % 64));
        else if (lie == 3) claim.marginalQuantity = uint24(dice);
        else if (lie == 4 && claim.marginalQuantity > 0) claim.marginalQuantity -= 1;
        else if (lie == 5 && claim.marginalQuantity < type(uint24).max) claim.marginalQuantity += 1;
        else if (lie == 6) claim.passedOver = _without(claim.passedOver, dice);
        else if (lie == 7) claim.passedOver = _with(claim.passedOver, other);
        else (claim.marginal, claim.marginalQuantity) = (other, uint24(_quantityOf(auction, other)));
    }

    /// @notice The result that there would be without one of the winners, who is said to have been passed over.
    function passingOverAWinner(MeritOrderReference.Auction memory auction, uint256 dice)
        internal
        pure
        returns (IMeritOrderAuction.Claim memory claim)
    {
        MeritOrderReference.Result memory right = MeritOrderReference.clear(auction);
        if (right.awards.length == 0) return right.claim;
        uint256 winner = dice % 3 == 0
            ? MeritOrderReference.bidAt(right.awards, (dice >> 8) % (right.awards.length / 12)).minimum
            : uint32(right.claim.marginal);
        if (winner >= auction.records.length / 12) return right.claim;
        MeritOrderReference.Bid memory bid = MeritOrderReference.bidAt(auction.records, winner);
        claim =
        MeritOrderReference.clear(
            MeritOrderReference.Auction(
                auction.isSell, auction.quantity, auction.records, _withRejected(auction, winner)
            )
        )
        .claim;
        claim.passedOver = _with(claim.passedOver, MeritOrderReference.rank(bid, auction.isSell, winner));
    }

    /// @notice The result that would end with a bid which was passed over, awarded less than its minimum.
    function belowAMinimum(MeritOrderReference.Auction memory auction, uint256 dice)
        internal
        pure
        returns (IMeritOrderAuction.Claim memory claim)
    {
        MeritOrderReference.Result memory right = MeritOrderReference.clear(auction);
        claim = right.claim;
        if (claim.passedOver.length == 0) return claim;
        uint256 chosen = dice % claim.passedOver.length;
        claim.marginal = claim.passedOver[chosen];
        uint256 left = auction.quantity;
        for (uint256 i = 0; i < right.awards.length / 12; ++i) {
            MeritOrderReference.Bid memory award = MeritOrderReference.bidAt(right.awards, i);
            // An award bears its posting position in place of the minimum.
            if (MeritOrderReference.rank(award, auction.isSell, award.minimum) < claim.marginal) {
                left -= award.quantity;
            }
        }
        claim.marginalQuantity = uint24(left);
        uint64[] memory earlier = new uint64[](chosen);
        for (uint256 i = 0; i < chosen; ++i) {
            earlier[i] = claim.passedOver[i];
        }
        claim.passedOver = earlier;
    }

    function _withRejected(MeritOrderReference.Auction memory auction, uint256 position)
        private
        pure
        returns (bytes memory rejected)
    {
        rejected = new bytes(auction.records.length / 96 + 1 + auction.rejected.length);
        for (uint256 i = 0; i < auction.rejected.length; ++i) {
            rejected[i] = auction.rejected[i];
        }
        rejected[position / 8] |= bytes1(uint8(1 << (position % 8)));
    }

    function ofRecords(bytes memory records, uint256 lie, uint256 dice) internal pure returns (bytes memory) {
        uint256 n = records.length / 12;
        if (n == 0) return records;
        uint256 a = dice % n * 12;
        uint256 b = (dice >> 64) % n * 12;
        bytes memory one = TreeReference.slice(records, a, 12);
        if (lie == 0) return bytes.concat(_before(records, a), _after(records, a)); // omitted
        if (lie == 1) return bytes.concat(_before(records, b), one, TreeReference.slice(records, b, records.length)); // doubled
        if (lie == 2) records[a + (dice >> 128) % 12] ^= bytes1(uint8(1 << ((dice >> 140) % 8)));
        if (lie == 3) return _before(records, a + 12); // cut off
        if (lie == 4) _swap(records, a, b);
        return records;
    }

    /* CHUNKS */

    /// @notice The progress after one more chunk, as a clearer has to hand it to the next call.
    function replay(
        IMeritOrderAuction.Progress memory progress,
        IMeritOrderAuction.Claim memory claim,
        MeritOrderReference.Auction memory auction,
        uint256 count
    ) internal pure {
        bool[] memory counts = MeritOrderReference.counting(auction);
        bytes memory awards = progress.pending;
        for (uint256 p = progress.position; count > 0; --count) {
            bytes memory record = TreeReference.slice(auction.records, p * 12, 12);
            progress.chain = keccak256(bytes.concat(progress.chain, record));
            if (counts[p]) awards = bytes.concat(awards, _award(progress, claim, auction, p));
            progress.position = uint32(++p);
        }
        _grow(progress, awards);
    }

    function _award(
        IMeritOrderAuction.Progress memory progress,
        IMeritOrderAuction.Claim memory claim,
        MeritOrderReference.Auction memory auction,
        uint256 p
    ) private pure returns (bytes memory) {
        MeritOrderReference.Bid memory bid = MeritOrderReference.bidAt(auction.records, p);
        uint64 rank = MeritOrderReference.rank(bid, auction.isSell, p);
        uint24 least = uint24(bid.minimum == 0 ? 1 : bid.minimum);
        for (uint256 i = 0; i < claim.passedOver.length; ++i) {
            if (claim.passedOver[i] != rank) continue;
            progress.seen |= uint32(1 << i);
            progress.minima[i] = least;
            return "";
        }
        if (rank > claim.marginal) return "";
        if (rank == claim.marginal) {
            progress.seen |= 1 << 16;
            progress.minima[claim.passedOver.length] = least;
            bid.quantity = claim.marginalQuantity;
        } else {
            progress.better += uint64(bid.quantity);
            for (uint256 i = 0; i < claim.passedOver.length; ++i) {
                if (rank < claim.passedOver[i]) progress.betterThanPassed[i] += uint64(bid.quantity);
            }
        }
        if (bid.quantity == 0) return "";
        ++progress.awardCount;
        bid.minimum = p;
        return abi.encodePacked(MeritOrderReference.pack(bid));
    }

    /// @dev Full leaves into peaks, one for each perfect subtree.
    function _grow(IMeritOrderAuction.Progress memory progress, bytes memory awards) private pure {
        uint256 full = progress.awardCount / 8;
        uint256 before = full - awards.length / 96;
        bytes32[] memory fresh = new bytes32[](awards.length / 96);
        for (uint256 i = 0; i < fresh.length; ++i) {
            fresh[i] = keccak256(abi.encodePacked(uint40(before + i), TreeReference.slice(awards, i * 96, 96)));
            progress.peaks = _push(progress.peaks, before + i, fresh[i]);
        }
        progress.pending = TreeReference.slice(awards, fresh.length * 96, awards.length);
    }

    function _push(bytes32[] memory peaks, uint256 leaves, bytes32 node) private pure returns (bytes32[] memory grown) {
        uint256 kept = peaks.length;
        for (; leaves % 2 == 1; leaves /= 2) {
            bytes32 left = peaks[--kept];
            node = left < node ? keccak256(abi.encode(left, node)) : keccak256(abi.encode(node, left));
        }
        grown = new bytes32[](kept + 1);
        for (uint256 i = 0; i < kept; ++i) {
            grown[i] = peaks[i];
        }
        grown[kept] = node;
    }

    /* PARTS */

    function _someRank(MeritOrderReference.Auction memory auction, uint256 dice) private pure returns (uint64) {
        uint256 n = auction.records.length / 12;
        if (n == 0) return uint64(dice);
        uint256 p = (dice >> 32) % n;
        return MeritOrderReference.rank(MeritOrderReference.bidAt(auction.records, p), auction.isSell, p);
    }

    function _quantityOf(MeritOrderReference.Auction memory auction, uint64 rank) private pure returns (uint256) {
        uint256 p = uint32(rank);
        if (p >= auction.records.length / 12) return 1;
        return MeritOrderReference.bidAt(auction.records, p).quantity;
    }

    function _without(uint64[] memory ranks, uint256 dice) private pure returns (uint64[] memory fewer) {
        if (ranks.length == 0) return ranks;
        fewer = new uint64[](ranks.length - 1);
        uint256 gone = dice % ranks.length;
        for (uint256 i = 0; i < fewer.length; ++i) {
            fewer[i] = ranks[i < gone ? i : i + 1];
        }
    }

    function _with(uint64[] memory ranks, uint64 rank) private pure returns (uint64[] memory more) {
        more = new uint64[](ranks.length + 1);
        uint256 place = ranks.length;
        while (place > 0 && ranks[place - 1] > rank) --place;
        for (uint256 i = 0; i < more.length; ++i) {
            more[i] = i < place ? ranks[i] : i == place ? rank : ranks[i - 1];
        }
    }

    function _before(bytes memory records, uint256 offset) private pure returns (bytes memory) {
        return TreeReference.slice(records, 0, offset);
    }

    function _after(bytes memory records, uint256 offset) private pure returns (bytes memory) {
        return TreeReference.slice(records, offset + 12, records.length);
    }

    function _swap(bytes memory records, uint256 a, uint256 b) private pure {
        for (uint256 i = 0; i < 12; ++i) {
            (records[a + i], records[b + i]) = (records[b + i], records[a + i]);
        }
    }
}
