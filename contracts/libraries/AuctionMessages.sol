// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "../interfaces/IMeritOrderAuction.sol";
import {BidRecord} from "./BidRecord.sol";

/// @notice EIP-712 struct hashes of the messages that the auction checks.
library AuctionMessages {
    bytes32 internal constant REQUEST_TYPEHASH = keccak256(
        "Request(uint32 node,uint32 firstInterval,uint8 product,uint8 direction,uint32 priceUeurKwh,uint40[] quantities,uint64 salt)"
    );
    bytes32 internal constant OFFER_TYPEHASH = keccak256(
        "Offer(uint32 portfolio,bytes32 request,uint32 interval,uint8 side,uint8 direction,uint8 product,uint40 quantity,uint32 limitPriceUeurKwh,uint32 gateClosure,uint64 salt)"
    );
    bytes32 internal constant CANCELLATION_TYPEHASH = keccak256("Cancellation(bytes32 offer)");
    bytes32 internal constant BID_TYPEHASH = keccak256(
        "Bid(bytes32 offer,uint16 index,uint32 priceUeurKwh,uint24 quantity,uint24 minimum,uint8 revision)"
    );

    function hash(IMeritOrderAuction.Request memory request) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                REQUEST_TYPEHASH,
                request.node,
                request.firstInterval,
                request.product,
                request.direction,
                request.priceUeurKwh,
                keccak256(abi.encodePacked(request.quantities)),
                request.salt
            )
        );
    }

    function hash(IMeritOrderAuction.Offer memory offer) internal pure returns (bytes32) {
        return keccak256(abi.encode(OFFER_TYPEHASH, offer)); // all fields are static: the encoding is theirs in order
    }

    function hashCancellation(bytes32 offer) internal pure returns (bytes32) {
        return keccak256(abi.encode(CANCELLATION_TYPEHASH, offer));
    }

    function hashBid(bytes32 offer, BidRecord bid) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                BID_TYPEHASH,
                offer,
                bid.index(),
                bid.priceUeurKwh(),
                bid.quantity(),
                bid.minimum(),
                bid.revision()
            )
        );
    }
}
