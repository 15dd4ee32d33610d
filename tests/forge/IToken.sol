// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

/// @notice Every call of the settlement token.
interface IToken is IERC20, IERC20Permit {
    function mint(address to, uint256 amountUeur, bytes32 reference_) external;
    function burn(uint256 amountUeur, bytes32 reference_) external;
}
