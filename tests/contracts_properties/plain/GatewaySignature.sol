// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @notice Plain twin of contracts/libraries/GatewaySignature.sol: slices cut the signature up. Shows that nothing beside it is read.
library GatewaySignature {
    function isGiven(bytes calldata signature) internal pure returns (bool) {
        return signature.length >= 32 && bytes32(signature[:32]) != 0;
    }

    function signerOf(bytes32 digest, bytes calldata signature) internal pure returns (address signer) {
        if (signature.length != 64) return address(0);
        (signer,,) = ECDSA.tryRecover(digest, bytes32(signature[:32]), bytes32(signature[32:]));
    }
}
