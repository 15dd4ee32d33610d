// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IParticipantRegistry} from "../interfaces/IParticipantRegistry.sol";

/// @notice All that a bid is judged by, in one storage slot, most significant first:
/// spare 2 | unbounded 1 | expiry day 16 | lowest price 29 | largest quantity 24 | cover 24 | signer 160.
/// @dev Unbounded: the seat has become active, no end is set and it is not suspended. Whether another seat is active for an
/// interval is for the registry to say, at the price of a second slot.
type SeatSigner is uint256;

using SeatSigners for SeatSigner global;

/// @notice Packs and reads seat signers.
/// @dev Its plain twin, which tests hold it to: tests/contracts_properties/plain/SeatSigner.sol.
library SeatSigners {
    uint32 internal constant MAX_PRICE = 2 ** 29 - 1;

    uint256 private constant _UNBOUNDED = 1 << 253;

    /// @notice The caller keeps the lowest price within 29 bits.
    function pack(IParticipantRegistry.Signer memory signer_, bool unbounded) internal pure returns (SeatSigner) {
        uint256 word = (uint256(signer_.expiryDay) << 237) | (uint256(signer_.lowestPriceUeurKwh) << 208)
            | (uint256(signer_.largestQuantity) << 184) | (uint256(signer_.coverCents) << 160)
            | uint256(uint160(signer_.signer));
        return SeatSigner.wrap(unbounded ? word | _UNBOUNDED : word);
    }

    function unpack(SeatSigner seat) internal pure returns (IParticipantRegistry.Signer memory) {
        return IParticipantRegistry.Signer({
            signer: seat.signer(),
            expiryDay: seat.expiryDay(),
            lowestPriceUeurKwh: seat.lowestPriceUeurKwh(),
            largestQuantity: seat.largestQuantity(),
            coverCents: seat.coverCents()
        });
    }

    /// @notice A row of signers, 32 bytes each: bytes, because the encoding of an array is copied word by word.
    function makeRow(uint256 count) internal pure returns (bytes memory row) {
        row = new bytes(count * 32);
    }

    /// @notice Sets one of a row. The caller keeps `place` below the row's count.
    function put(bytes memory row, uint256 place, SeatSigner seat) internal pure {
        assembly ("memory-safe") {
            mstore(add(add(row, 32), shl(5, place)), seat)
        }
    }

    // The casts below cut the word's fields out: truncation is their purpose.
    // forge-lint: disable-start(unsafe-typecast)

    function signer(SeatSigner seat) internal pure returns (address) {
        return address(uint160(SeatSigner.unwrap(seat)));
    }

    function coverCents(SeatSigner seat) internal pure returns (uint24) {
        return uint24(SeatSigner.unwrap(seat) >> 160);
    }

    function largestQuantity(SeatSigner seat) internal pure returns (uint24) {
        return uint24(SeatSigner.unwrap(seat) >> 184);
    }

    function lowestPriceUeurKwh(SeatSigner seat) internal pure returns (uint32) {
        return uint32(SeatSigner.unwrap(seat) >> 208) & MAX_PRICE;
    }

    function expiryDay(SeatSigner seat) internal pure returns (uint16) {
        return uint16(SeatSigner.unwrap(seat) >> 237);
    }

    // forge-lint: disable-end(unsafe-typecast)

    function isUnbounded(SeatSigner seat) internal pure returns (bool) {
        return SeatSigner.unwrap(seat) & _UNBOUNDED != 0;
    }
}
