// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GatewayReading} from "./GatewayReading.sol";

/// @notice Plain twin of contracts/libraries/ReadingDigest.sol: the encoder makes the message. Shows that the draft's words are its
/// encoding, with negative energies too.
library ReadingDigest {
    bytes32 internal constant TYPEHASH = keccak256(
        "Reading(uint48 nanogrid,uint32 interval,int32 activeEnergyWh,int32 reactiveEnergyVarh,uint32 sequence)"
    );

    struct Draft {
        uint32 interval;
    }

    function draftFor(uint32 interval) internal pure returns (Draft memory) {
        return Draft(interval);
    }

    function digest(Draft memory draft, bytes32 domainSeparator, uint256 nanogrid, GatewayReading reading)
        internal
        pure
        returns (bytes32)
    {
        bytes32 message = keccak256(
            abi.encode(
                TYPEHASH,
                uint48(nanogrid),
                draft.interval,
                reading.activeEnergyWh(),
                reading.reactiveEnergyVarh(),
                reading.sequence()
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domainSeparator, message));
    }
}
