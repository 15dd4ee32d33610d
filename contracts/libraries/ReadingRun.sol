// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The verifier's readings of one offer, judged one after the other without leaving the loop.
/// @dev The hot loop of settlement: 200 readings in a transaction, each with its digest, its signer, its award and its baseline. What it
/// does is what SettlementJudge._judgeReading does in plain Solidity, whose calls, checks and copies cost 1,900 gas a reading more,
/// 13 % of a settlement; whatever it does not know it leaves to that function.
/// Its plain twin, which tests hold it to: tests/contracts_properties/plain/ReadingRun.sol.
library ReadingRun {
    /// @dev The assembly below reads and writes the fields by their places, 32 bytes each.
    /// @param typehash From here to `sequence`: the message, as it is hashed
    /// @param prefix From here to `structHash`: what is hashed for the digest; 0x1901 in its last bytes
    /// @param digest From here to `s`: what the precompile recovers the signer from
    /// @param ends Where the ends go: see AwardEnds
    /// @param records Award records, of the ordinals from `firstOrdinal` on
    /// @param sign What UP (1) and DOWN (-1) multiply a change by; `meteredShift`: where the product's energy stands in a reading
    /// @param annulled Bitmap of annulled readings by nanogrid index: see WordList
    struct Batch {
        bytes32 typehash;
        uint256 nanogrid;
        uint256 interval;
        int256 activeEnergyWh;
        int256 reactiveEnergyVarh;
        uint256 sequence;
        uint256 prefix;
        bytes32 domainSeparator;
        bytes32 structHash;
        bytes32 digest;
        uint256 v;
        bytes32 r;
        bytes32 s;
        bytes ends;
        bytes records;
        bytes annulled;
        uint256 firstOrdinal;
        uint256 firstNanogrid;
        int256 sign;
        uint256 meteredShift;
    }

    uint256 internal constant PREFIX = 0x1901;
    uint256 internal constant ACTIVE_SHIFT = 200;
    uint256 internal constant REACTIVE_SHIFT = 168;

    /// @notice Judges readings from `offset` on until the last one, or one that needs more than its signature, baseline and award: not
    /// signed by secp256k1, not recoverable, annulled, or without award or baseline.
    /// @param count Ends that are there already
    /// @return Where it ended in `readings`, and how many ends there are
    function judge(
        Batch memory batch,
        bytes calldata baselines,
        bytes calldata readings,
        uint256 offset,
        uint256 count
    ) internal view returns (uint256, uint256) {
        assembly ("memory-safe") {
            let put := add(add(mload(add(batch, 0x1a0)), 0x20), shl(6, count))
            let from := add(readings.offset, offset)
            let last := add(readings.offset, sub(readings.length, 79))
            // With fewer than 79 bytes `last` is before the first: signed, because there may be none.
            for {} iszero(sgt(from, last)) {} {
                // The reading's award: ordinal 24 (the highest bit is set for a P-256 signature, and no ordinal is so high).
                let reading := calldataload(from)
                let record := mul(sub(shr(232, reading), mload(add(batch, 0x200))), 12)
                let records := mload(add(batch, 0x1c0))
                if iszero(lt(record, mload(records))) { break }
                record := shr(160, mload(add(add(records, 0x20), record)))
                let index := and(record, 0xffff)
                if iszero(lt(shl(2, index), baselines.length)) { break }
                let baseline := shr(224, calldataload(add(baselines.offset, shl(2, index))))
                if eq(baseline, 0x80000000) { break } // SettlementMath.NO_BASELINE
                let annulled := mload(add(add(mload(add(batch, 0x1e0)), 0x20), shl(5, shr(8, index))))
                if and(shr(and(index, 0xff), annulled), 1) { break }

                // The signer, as ReadingDigest and ECDSA.tryRecover find it.
                mstore(add(batch, 0x20), or(mload(add(batch, 0x220)), index))
                mstore(add(batch, 0x60), signextend(3, shr(200, reading)))
                mstore(add(batch, 0x80), signextend(3, shr(168, reading)))
                mstore(add(batch, 0xa0), and(shr(136, reading), 0xffffffff))
                mstore(add(batch, 0x100), keccak256(batch, 0xc0))
                mstore(add(batch, 0x120), keccak256(add(batch, 0xde), 0x42))
                mstore(add(batch, 0x160), calldataload(add(from, 15)))
                let s := calldataload(add(from, 47))
                mstore(add(batch, 0x140), add(shr(255, s), 27))
                s := shr(1, shl(1, s))
                mstore(add(batch, 0x180), s)
                if gt(s, 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0) { break }
                let signer := add(put, 0x20) // where it belongs; 0 so far, and so it stays when nobody is found
                pop(staticcall(gas(), 1, add(batch, 0x120), 0x80, signer, 0x20))
                if iszero(mload(signer)) { break }

                // What was delivered, and the outcome: 1 delivered, 2 short, 3 failed (SettlementMath.byReading).
                let metered := and(shr(mload(add(batch, 0x260)), reading), 0xffffffff)
                let delivered := mul(sub(signextend(3, baseline), signextend(3, metered)), mload(add(batch, 0x240)))
                delivered := mul(delivered, sgt(delivered, 0))
                let awarded := and(shr(40, record), 0xffffff)
                if gt(delivered, awarded) { delivered := awarded }
                let isShort := lt(delivered, div(mul(awarded, 900), 1000))
                let outcome := add(1, mul(isShort, add(1, iszero(delivered))))

                // The end (AwardEnd), beside the gateway that must be the seat's.
                let end := or(shl(32, baseline), metered)
                end := or(end, or(shl(88, outcome), shl(64, delivered)))
                end := or(end, or(shl(160, record), shl(129, isShort)))
                mstore(put, or(end, shl(96, shr(232, reading))))
                put := add(put, 0x40)
                from := add(from, 79)
            }
            offset := sub(from, readings.offset)
            count := shr(6, sub(sub(put, mload(add(batch, 0x1a0))), 0x20))
        }
        return (offset, count);
    }
}
