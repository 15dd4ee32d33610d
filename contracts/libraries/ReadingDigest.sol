// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GatewayReading} from "./GatewayReading.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

/// @notice EIP-712 digests of readings.
library ReadingDigest {
    bytes32 internal constant TYPEHASH = keccak256(
        "Reading(uint48 nanogrid,uint32 interval,int32 activeEnergyWh,int32 reactiveEnergyVarh,uint32 sequence)"
    );

    /// @notice What the gateway of a nanogrid signs.
    function digest(bytes32 domainSeparator, uint48 nanogrid, uint32 interval, GatewayReading reading)
        internal
        pure
        returns (bytes32)
    {
        bytes32 message = keccak256(
            abi.encode(
                TYPEHASH,
                nanogrid,
                interval,
                reading.activeEnergyWh(),
                reading.reactiveEnergyVarh(),
                reading.sequence()
            )
        );
        return MessageHashUtils.toTypedDataHash(domainSeparator, message);
    }
}
