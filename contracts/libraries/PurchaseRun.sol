// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SeatBooks} from "./SeatBooks.sol";

/// @notice Awards of BUY that end as most do, booked one after the other without leaving the loop: neither settled nor ever held, delivered,
/// with the seat's own gateway, and the seat owes nothing.
/// @dev The hot loop of Settlement's books. What it does is what Settlement._bookOne does in plain Solidity, whose calls and checks cost
/// 700 gas an award more, 6 % of a settlement; whatever it does not know it leaves to that function.
/// Its plain twin, which tests hold it to: tests/contracts_properties/plain/PurchaseRun.sol.
library PurchaseRun {
    /// @dev The assembly below reads and writes the fields by their places, 32 bytes each.
    /// @param ends See AwardEnds
    /// @param results Of the awards that ended, for AwardsSettled; there is room for all
    /// @param open The word of marks (AwardMarks) of awards that have neither ended nor ever been held, and its number
    /// @param reservesUeur What the awards' escrow held, what of it was spent, and what of that seats were paid
    struct Batch {
        bytes ends;
        bytes results;
        uint256 open;
        uint256 wordNumber;
        uint256 firstNanogrid;
        uint256 requestPriceUeurKwh;
        uint256 reservesUeur;
        uint256 spentUeur;
        uint256 paidUeur;
    }

    /// @notice Books awards from `place` on until the last one, or one that does not end like most, or has its marks in another word.
    /// @return Where it ended
    function book(Batch memory batch, mapping(uint48 nanogrid => SeatBooks) storage seats, uint256 place)
        internal
        returns (uint256)
    {
        assembly ("memory-safe") {
            let open := mload(add(batch, 0x40))
            let sums := 0 // 80 bits each: reserves, spent, paid
            let from := add(add(mload(batch), 0x20), shl(6, place))
            let last := add(mload(batch), mload(mload(batch)))
            let result := mload(add(batch, 0x20))
            result := add(add(result, 0x20), mload(result))
            mstore(0x20, seats.slot)
            for {} lt(from, last) {} {
                // Skipped, missing and penalised ones, those settled or held, and those of another word of marks.
                let end := mload(from)
                if and(shr(120, end), 0x3ff) { break }
                // slither-disable-next-line incorrect-shift -- one bit, moved by the ordinal
                let mark := shl(and(shr(96, end), 0xff), 1)
                if iszero(and(open, mark)) { break }
                if sub(and(shr(104, end), 0xffff), mload(add(batch, 0x60))) { break }

                // The seat: unused 7 | inDebt 1 | balance 88 | gateway 160.
                mstore(0x00, or(mload(add(batch, 0x80)), and(shr(160, end), 0xffff)))
                let slot := keccak256(0x00, 0x40)
                let seat := sload(slot)
                let gateway := mload(add(from, 0x20))
                if mul(gateway, shl(96, xor(seat, gateway))) { break }

                // Amounts: quantities of 24 bits, prices of 29 and 32.
                let delivered := and(shr(64, end), 0xffffff)
                let paid := div(mul(delivered, shr(227, end)), 1000)
                seat := add(seat, shl(160, paid))
                if shr(248, seat) { break }
                if paid { sstore(slot, seat) }
                let price := mload(add(batch, 0xa0))
                if iszero(price) { price := shr(227, end) }
                delivered := div(mul(delivered, price), 1000)
                price := div(mul(and(shr(200, end), 0xffffff), price), 1000)
                sums := add(sums, or(shl(160, price), or(shl(80, delivered), paid)))

                open := xor(open, mark)
                mstore(result, shl(136, end))
                result := add(result, 15)
                from := add(from, 0x40)
            }
            place := shr(6, sub(sub(from, mload(batch)), 0x20))
            let results := mload(add(batch, 0x20))
            mstore(results, sub(sub(result, results), 0x20))
            mstore(add(batch, 0x40), open)
            let lane := 0xffffffffffffffffffff
            mstore(add(batch, 0xc0), add(mload(add(batch, 0xc0)), shr(160, sums)))
            mstore(add(batch, 0xe0), add(mload(add(batch, 0xe0)), and(shr(80, sums), lane)))
            mstore(add(batch, 0x100), add(mload(add(batch, 0x100)), and(sums, lane)))
        }
        return place;
    }
}
