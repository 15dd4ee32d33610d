// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";

/// @notice Who signed as a gateway: with a secp256k1 key or, where the chain has the precompile of EIP-7951 (RIP-7212), a P-256 key.
library GatewaySignature {
    uint256 internal constant SECP256K1_BYTES = 64;
    uint256 internal constant P256_BYTES = 128;

    /// @notice Whether there is a signature at all: empty bytes, or such that begin with 32 zero bytes, are none.
    function isGiven(bytes calldata signature) internal pure returns (bool) {
        return signature.length >= 32 && bytes32(signature[:32]) != 0;
    }

    /// @notice The gateway's address; 0 when the signature is not valid.
    /// Reverts with Errors.MissingPrecompile for a P-256 signature that only the precompile could judge, where there is none.
    /// @param signature 64 bytes of a secp256k1 key: r and vs (EIP-2098). 128 bytes of a P-256 key: r, s (the low one), x and y of the
    /// public key, whose address is the last 20 bytes of keccak256(x, y), as it is for the other curve.
    function signerOf(bytes32 digest, bytes calldata signature) internal view returns (address signer) {
        if (signature.length == P256_BYTES) return _p256SignerOf(digest, signature);
        if (signature.length != SECP256K1_BYTES) return address(0);
        // slither-disable-next-line unused-return -- a fault gives address 0, which is nobody
        (signer,,) = ECDSA.tryRecover(digest, bytes32(signature[:32]), bytes32(signature[32:]));
    }

    function _p256SignerOf(bytes32 digest, bytes calldata signature) private view returns (address) {
        (bytes32 r, bytes32 s, bytes32 x, bytes32 y) = abi.decode(signature, (bytes32, bytes32, bytes32, bytes32));
        if (!P256.verifyNative(digest, r, s, x, y)) return address(0);
        return address(uint160(uint256(keccak256(abi.encode(x, y)))));
    }
}
