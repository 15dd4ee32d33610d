// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISettlement} from "../interfaces/ISettlement.sol";
import {GatewaySignature} from "./GatewaySignature.sol";

/// @notice What a gateway measured and signed for an award, in 15 bytes, most significant first:
/// signature kind 1 | ordinal 23 | activeEnergyWh 32 | reactiveEnergyVarh 32 | sequence 32. Energies in Wh and varh.
type GatewayReading is uint256;

using GatewayReadings for GatewayReading global;

/// @notice Reads the readings of a settlement: 15 bytes each, then a signature of 64 bytes (secp256k1, compact), or of 128 bytes
/// (P-256: r, s, x, y) where the signature kind is 1: see GatewaySignature.
/// @dev Its plain twin, which tests hold it to: tests/contracts_properties/plain/GatewayReading.sol.
library GatewayReadings {
    uint256 internal constant BYTES = 15;
    uint256 internal constant SIGNATURE_BYTES = GatewaySignature.SECP256K1_BYTES;
    uint256 internal constant P256_SIGNATURE_BYTES = GatewaySignature.P256_BYTES;
    /// @notice Of a reading with the shorter signature.
    uint256 internal constant LEAST_BYTES = BYTES + SIGNATURE_BYTES;

    /// @notice The reading at `offset`, its signature, and where the next one begins; reverts when it is not whole.
    function read(bytes calldata data, uint256 offset)
        internal
        pure
        returns (GatewayReading reading, bytes calldata signature, uint256 next)
    {
        assembly ("memory-safe") {
            reading := shr(136, calldataload(add(data.offset, offset)))
        }
        uint256 size = signatureBytes(reading);
        unchecked {
            next = offset + BYTES + size; // the data is far shorter than 2^64
        }
        if (next > data.length) revert ISettlement.MalformedReadings(data.length);
        assembly ("memory-safe") {
            // Within the data, as was checked: slices would check each part again: 3 % of a settlement with P-256 keys.
            signature.offset := add(add(data.offset, offset), BYTES)
            // slither-disable-next-line write-after-write -- two parts of one reference
            signature.length := size
        }
    }

    /// @notice The only reading of the data, and its signature, which may be missing; reverts when it is not whole.
    function readOne(bytes calldata data) internal pure returns (GatewayReading reading, bytes calldata signature) {
        if (data.length == BYTES) return (GatewayReading.wrap(uint120(bytes15(data))), data[BYTES:]);
        uint256 next;
        (reading, signature, next) = read(data, 0);
        if (next != data.length) revert ISettlement.MalformedReadings(data.length);
    }

    /// @notice Length of the signature that follows the reading. [byte]
    function signatureBytes(GatewayReading reading) internal pure returns (uint256) {
        return GatewayReading.unwrap(reading) >> 119 == 1 ? P256_SIGNATURE_BYTES : SIGNATURE_BYTES;
    }

    function pack(uint32 ordinal_, int32 activeEnergyWh_, int32 reactiveEnergyVarh_, uint32 sequence_)
        internal
        pure
        returns (GatewayReading)
    {
        uint256 energies = uint256(uint32(activeEnergyWh_)) << 32 | uint32(reactiveEnergyVarh_);
        return GatewayReading.wrap((uint256(ordinal_) << 64 | energies) << 32 | sequence_);
    }

    // The casts below cut the word's fields out: truncation is their purpose.
    // forge-lint: disable-start(unsafe-typecast)

    function ordinal(GatewayReading reading) internal pure returns (uint256) {
        return GatewayReading.unwrap(reading) >> 96 & 0x7fffff;
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
}
