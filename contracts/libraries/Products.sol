// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The products of the market and what kind of energy they are in.
library Products {
    uint8 internal constant CM_REALTIME = 1;
    uint8 internal constant CM_CAPACITY = 2;
    uint8 internal constant VC_REALTIME = 3;
    uint8 internal constant VC_CAPACITY_Q = 4;
    uint8 internal constant VC_EMERGENCY_P = 5;
    uint8 internal constant INTERNAL = 6;

    uint8 internal constant ACTIVE = 0;
    uint8 internal constant REACTIVE = 1;

    /// @notice Whether the number is one of the six products.
    function exists(uint8 product) internal pure returns (bool) {
        return product >= CM_REALTIME && product <= INTERNAL;
    }

    /// @notice 0 active, 1 reactive energy.
    function kindOf(uint8 product) internal pure returns (uint8) {
        return product == VC_REALTIME || product == VC_CAPACITY_Q ? REACTIVE : ACTIVE;
    }

    /// @notice Whether a DSO's request for it is answered by auctions.
    function answersRequest(uint8 product) internal pure returns (bool) {
        return product == CM_REALTIME || product == VC_REALTIME;
    }
}
