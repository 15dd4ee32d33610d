// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SeatBooks} from "./SeatBooks.sol";

/// @notice Plain twin of contracts/libraries/PurchaseRun.sol: it books nothing and leaves every award to Settlement._bookOne. Shows that
/// what the run books, that function would book alike.
library PurchaseRun {
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

    function book(Batch memory, mapping(uint48 nanogrid => SeatBooks) storage, uint256 place)
        internal
        pure
        returns (uint256)
    {
        return place;
    }
}
