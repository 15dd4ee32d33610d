// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IParticipantRegistry} from "../interfaces/IParticipantRegistry.sol";

type SeatSigner is uint256;

using SeatSigners for SeatSigner global;

/// @notice Plain twin of contracts/libraries/SeatSigner.sol: the word is put together and read field by field, and a row of words byte by
/// byte. Shows that registry and auction mean the same seats by a row.
library SeatSigners {
    uint32 internal constant MAX_PRICE = 2 ** 29 - 1;

    /// @dev spare 2 | unbounded 1 | expiry day 16 | lowest price 29 | largest quantity 24 | cover 24 | signer 160
    function pack(IParticipantRegistry.Signer memory signer_, bool unbounded) internal pure returns (SeatSigner) {
        uint256 word = unbounded ? 1 : 0;
        word = word * 2 ** 16 + signer_.expiryDay;
        word = word * 2 ** 29 + signer_.lowestPriceUeurKwh;
        word = word * 2 ** 24 + signer_.largestQuantity;
        word = word * 2 ** 24 + signer_.coverCents;
        return SeatSigner.wrap(word * 2 ** 160 + uint160(signer_.signer));
    }

    function unpack(SeatSigner seat) internal pure returns (IParticipantRegistry.Signer memory unpacked) {
        unpacked.signer = seat.signer();
        unpacked.expiryDay = seat.expiryDay();
        unpacked.lowestPriceUeurKwh = seat.lowestPriceUeurKwh();
        unpacked.largestQuantity = seat.largestQuantity();
        unpacked.coverCents = seat.coverCents();
    }

    function makeRow(uint256 count) internal pure returns (bytes memory row) {
        row = new bytes(count * 32);
    }

    function put(bytes memory row, uint256 place, SeatSigner seat) internal pure {
        bytes32 word = bytes32(SeatSigner.unwrap(seat));
        for (uint256 i = 0; i < 32; ++i) {
            row[place * 32 + i] = word[i];
        }
    }

    function signer(SeatSigner seat) internal pure returns (address) {
        return address(uint160(_field(seat, 0, 160)));
    }

    function coverCents(SeatSigner seat) internal pure returns (uint24) {
        return uint24(_field(seat, 160, 24));
    }

    function largestQuantity(SeatSigner seat) internal pure returns (uint24) {
        return uint24(_field(seat, 184, 24));
    }

    function lowestPriceUeurKwh(SeatSigner seat) internal pure returns (uint32) {
        return uint32(_field(seat, 208, 29));
    }

    function expiryDay(SeatSigner seat) internal pure returns (uint16) {
        return uint16(_field(seat, 237, 16));
    }

    function isUnbounded(SeatSigner seat) internal pure returns (bool) {
        return _field(seat, 253, 1) == 1;
    }

    function _field(SeatSigner seat, uint256 lowest, uint256 bits) private pure returns (uint256) {
        return (SeatSigner.unwrap(seat) >> lowest) % (1 << bits);
    }
}
