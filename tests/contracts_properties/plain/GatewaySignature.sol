// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";

/// @notice Plain twin of contracts/libraries/GatewaySignature.sol: slices cut the signature up. Shows that nothing beside it is read.
library GatewaySignature {
    uint256 internal constant SECP256K1_BYTES = 64;
    uint256 internal constant P256_BYTES = 128;

    function isGiven(bytes calldata signature) internal pure returns (bool) {
        return signature.length >= 32 && bytes32(signature[:32]) != 0;
    }

    function signerOf(bytes32 digest, bytes calldata signature) internal view returns (address signer) {
        if (signature.length == P256_BYTES) {
            bytes32[4] memory parts; // r, s, x, y
            for (uint256 i = 0; i < 4; ++i) {
                parts[i] = bytes32(signature[32 * i:32 * i + 32]);
            }
            bool isSigned = P256.verifyNative(digest, parts[0], parts[1], parts[2], parts[3]);
            return isSigned ? address(bytes20(keccak256(signature[64:]) << 96)) : address(0);
        }
        if (signature.length != SECP256K1_BYTES) return address(0);
        (signer,,) = ECDSA.tryRecover(digest, bytes32(signature[:32]), bytes32(signature[32:]));
    }
}
