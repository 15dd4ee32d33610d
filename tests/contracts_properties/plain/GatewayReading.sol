// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISettlement} from "../interfaces/ISettlement.sol";

type GatewayReading is uint256;

using GatewayReadings for GatewayReading global;

/// @notice Plain twin of contracts/libraries/GatewayReading.sol: slices cut readings and signatures out, each end checked. Shows that the
/// one check of the product is enough.
library GatewayReadings {
    uint256 internal constant BYTES = 15;
    uint256 internal constant SIGNATURE_BYTES = 64;
    uint256 internal constant P256_SIGNATURE_BYTES = 128;
    uint256 internal constant LEAST_BYTES = 79;

    function read(bytes calldata data, uint256 offset)
        internal
        pure
        returns (GatewayReading reading, bytes calldata signature, uint256 next)
    {
        // The highest bit of the ordinal tells how long the signature is.
        bool isP256 = offset < data.length && data[offset] >= 0x80;
        next = offset + BYTES + (isP256 ? P256_SIGNATURE_BYTES : SIGNATURE_BYTES);
        if (next > data.length) revert ISettlement.MalformedReadings(data.length);
        reading = GatewayReading.wrap(uint120(bytes15(data[offset:offset + BYTES])));
        signature = data[offset + BYTES:next];
    }

    /// @notice The only reading of the data, and its signature, which may be missing; reverts when it is not whole.
    function readOne(bytes calldata data) internal pure returns (GatewayReading reading, bytes calldata signature) {
        if (data.length == BYTES) return (GatewayReading.wrap(uint120(bytes15(data))), data[BYTES:]);
        uint256 next;
        (reading, signature, next) = read(data, 0);
        if (next != data.length) revert ISettlement.MalformedReadings(data.length);
    }

    function signatureBytes(GatewayReading reading) internal pure returns (uint256) {
        return GatewayReading.unwrap(reading) >= 2 ** 119 ? P256_SIGNATURE_BYTES : SIGNATURE_BYTES;
    }

    function pack(uint32 ordinal_, int32 activeEnergyWh_, int32 reactiveEnergyVarh_, uint32 sequence_)
        internal
        pure
        returns (GatewayReading)
    {
        bytes memory packed = abi.encodePacked(ordinal_, activeEnergyWh_, reactiveEnergyVarh_, sequence_);
        return GatewayReading.wrap(uint128(bytes16(packed)));
    }

    function ordinal(GatewayReading reading) internal pure returns (uint256) {
        return GatewayReading.unwrap(reading) / 2 ** 96 % 2 ** 23;
    }

    function activeEnergyWh(GatewayReading reading) internal pure returns (int32) {
        return _signed(GatewayReading.unwrap(reading) / 2 ** 64);
    }

    function reactiveEnergyVarh(GatewayReading reading) internal pure returns (int32) {
        return _signed(GatewayReading.unwrap(reading) / 2 ** 32);
    }

    function sequence(GatewayReading reading) internal pure returns (uint32) {
        return uint32(GatewayReading.unwrap(reading) % 2 ** 32);
    }

    /// @dev Of the lowest 32 bits, in two's complement.
    function _signed(uint256 word) private pure returns (int32) {
        int256 value = int256(word % 2 ** 32);
        return int32(value < 2 ** 31 ? value : value - 2 ** 32);
    }
}
