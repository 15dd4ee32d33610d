// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "../interfaces/IMeritOrderAuction.sol";
import {Products} from "./Products.sol";

/// @notice What settlement needs of an offer, in one word, most significant first: status 8 | side 8 | direction 8 | product 8 |
/// portfolio 32 | node 32 | interval 32 | awardCount 32 | requestPriceUeurKwh 32 | 64 unused.
/// @dev A struct would not fit into the auction's code beside everything else.
type OfferTerms is uint256;

using OfferTermsFields for OfferTerms global;

library OfferTermsFields {
    // The casts below cut the word's fields out: truncation is their purpose.
    // forge-lint: disable-start(unsafe-typecast)

    function isFinal(OfferTerms terms) internal pure returns (bool) {
        return uint8(OfferTerms.unwrap(terms) >> 248) == uint8(IMeritOrderAuction.Status.FINAL);
    }

    function side(OfferTerms terms) internal pure returns (IMeritOrderAuction.Side) {
        return IMeritOrderAuction.Side(uint8(OfferTerms.unwrap(terms) >> 240));
    }

    function isDown(OfferTerms terms) internal pure returns (bool) {
        return uint8(OfferTerms.unwrap(terms) >> 232) == uint8(IMeritOrderAuction.Direction.DOWN);
    }

    function kind(OfferTerms terms) internal pure returns (uint8) {
        return Products.kindOf(uint8(OfferTerms.unwrap(terms) >> 224));
    }

    function isReactive(OfferTerms terms) internal pure returns (bool) {
        return terms.kind() == Products.REACTIVE;
    }

    function portfolio(OfferTerms terms) internal pure returns (uint32) {
        return uint32(OfferTerms.unwrap(terms) >> 192);
    }

    /// @notice The request's node; 0 for INTERNAL, which does not name it, until `withNode`.
    function node(OfferTerms terms) internal pure returns (uint32) {
        return uint32(OfferTerms.unwrap(terms) >> 160);
    }

    /// @notice The terms of an INTERNAL offer with the portfolio's node.
    function withNode(OfferTerms terms, uint32 node_) internal pure returns (OfferTerms) {
        return OfferTerms.wrap(OfferTerms.unwrap(terms) | uint256(node_) << 160);
    }

    function interval(OfferTerms terms) internal pure returns (uint32) {
        return uint32(OfferTerms.unwrap(terms) >> 128);
    }

    function awardCount(OfferTerms terms) internal pure returns (uint32) {
        return uint32(OfferTerms.unwrap(terms) >> 96);
    }

    /// @notice What the payer pays per kWh (kvarh); 0 for INTERNAL, where it is the bid's price. [micro-euro]
    function requestPriceUeurKwh(OfferTerms terms) internal pure returns (uint32) {
        return uint32(OfferTerms.unwrap(terms) >> 64);
    }

    // forge-lint: disable-end(unsafe-typecast)
}
