// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @notice Who signed as a gateway.
library GatewaySignature {
    /// @notice The gateway's address; 0 when the signature is not valid.
    /// @param signature 64 bytes: r and vs (EIP-2098)
    function signerOf(bytes32 digest, bytes calldata signature) internal pure returns (address signer) {
        if (signature.length != 64) return address(0);
        // slither-disable-next-line unused-return -- a fault gives address 0, which is nobody
        (signer,,) = ECDSA.tryRecover(digest, bytes32(signature[:32]), bytes32(signature[32:]));
    }
}
