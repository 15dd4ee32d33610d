// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @notice Who signed as a gateway.
/// @dev Its plain twin, which tests hold it to: tests/contracts_properties/plain/GatewaySignature.sol.
library GatewaySignature {
    /// @notice Whether there is a signature at all: empty bytes, or such that begin with 32 zero bytes, are none.
    function isGiven(bytes calldata signature) internal pure returns (bool) {
        if (signature.length < 32) return false;
        bytes32 r;
        assembly ("memory-safe") {
            r := calldataload(signature.offset)
        }
        return r != 0;
    }

    /// @notice The gateway's address; 0 when the signature is not valid.
    /// @param signature 64 bytes: r and vs (EIP-2098). The 128 bytes of a P-256 key are nobody's as yet.
    function signerOf(bytes32 digest, bytes calldata signature) internal pure returns (address signer) {
        if (signature.length != 64) return address(0);
        bytes32 r;
        bytes32 vs;
        assembly ("memory-safe") {
            r := calldataload(signature.offset)
            vs := calldataload(add(signature.offset, 32))
        }
        // slither-disable-next-line unused-return -- a fault gives address 0, which is nobody
        (signer,,) = ECDSA.tryRecover(digest, r, vs);
    }
}
