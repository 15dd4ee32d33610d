// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISettlement} from "../interfaces/ISettlement.sol";

/// @notice What a gateway measured and signed for an award, in 15 bytes, most significant first:
/// signature kind 1 | ordinal 23 | activeEnergyWh 32 | reactiveEnergyVarh 32 | sequence 32. Energies in Wh and varh.
type GatewayReading is uint120;

using GatewayReadings for GatewayReading global;

/// @notice Reads the readings of a settlement: 15 bytes each, then a signature of 64 bytes (secp256k1, compact), or of 128 bytes
/// (P-256: r, s, x, y) where the signature kind is 1.
library GatewayReadings {
    uint256 internal constant BYTES = 15;
    uint256 internal constant SIGNATURE_BYTES = 64;
    uint256 internal constant P256_SIGNATURE_BYTES = 128;

    bytes32 internal constant TYPEHASH = keccak256(
        "Reading(uint48 nanogrid,uint32 interval,int32 activeEnergyWh,int32 reactiveEnergyVarh,uint32 sequence)"
    );

    /// @notice The number of readings; reverts when the data does not end with a whole one.
    function count(bytes calldata data) internal pure returns (uint256 readings) {
        uint256 offset = 0;
        for (; offset + BYTES <= data.length; ++readings) offset += read(data, offset).size();
        if (offset != data.length) revert ISettlement.MalformedReadings(data.length);
    }

    /// @notice The reading at `offset`, without its signature. The caller checks that it lies within `data`.
    function read(bytes calldata data, uint256 offset) internal pure returns (GatewayReading) {
        return GatewayReading.wrap(uint120(bytes15(data[offset:offset + BYTES])));
    }

    function pack(uint32 ordinal_, int32 activeEnergyWh_, int32 reactiveEnergyVarh_, uint32 sequence_)
        internal
        pure
        returns (GatewayReading)
    {
        uint256 energies = uint256(uint32(activeEnergyWh_)) << 32 | uint32(reactiveEnergyVarh_);
        // forge-lint: disable-next-line(unsafe-typecast) an ordinal is below 2^18
        return GatewayReading.wrap(uint120((uint256(ordinal_) << 64 | energies) << 32 | sequence_));
    }

    // The casts below cut the word's fields out: truncation is their purpose.
    // forge-lint: disable-start(unsafe-typecast)

    function ordinal(GatewayReading reading) internal pure returns (uint256) {
        return uint256(GatewayReading.unwrap(reading)) >> 96 & 0x7fffff;
    }

    function activeEnergyWh(GatewayReading reading) internal pure returns (int32) {
        return int32(uint32(GatewayReading.unwrap(reading) >> 64));
    }

    function reactiveEnergyVarh(GatewayReading reading) internal pure returns (int32) {
        return int32(uint32(GatewayReading.unwrap(reading) >> 32));
    }

    function sequence(GatewayReading reading) internal pure returns (uint32) {
        return uint32(GatewayReading.unwrap(reading));
    }

    // forge-lint: disable-end(unsafe-typecast)

    /// @notice With its signature. [byte]
    function size(GatewayReading reading) internal pure returns (uint256) {
        bool isP256 = GatewayReading.unwrap(reading) >> 119 == 1;
        return BYTES + (isP256 ? P256_SIGNATURE_BYTES : SIGNATURE_BYTES);
    }

    /// @notice The struct hash that the gateway of a nanogrid signed (EIP-712).
    function hash(GatewayReading reading, uint48 nanogrid, uint32 interval) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                TYPEHASH,
                nanogrid,
                interval,
                reading.activeEnergyWh(),
                reading.reactiveEnergyVarh(),
                reading.sequence()
            )
        );
    }
}
