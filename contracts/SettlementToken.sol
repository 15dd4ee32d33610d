// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISettlementToken} from "./interfaces/ISettlementToken.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

contract SettlementToken is ISettlementToken, ERC20Permit {
    bytes32 private constant OPERATOR_ROLE = keccak256("OPERATOR");

    IAccessControl public immutable registry;

    constructor(address registry_) ERC20("Meritgrid", "MGEUR") ERC20Permit("Meritgrid") {
        registry = IAccessControl(registry_);
    }

    modifier onlyOperator() {
        if (!registry.hasRole(OPERATOR_ROLE, msg.sender)) revert NotOperator(msg.sender);
        _;
    }

    /// @inheritdoc ISettlementToken
    function mint(address to, uint256 amountUeur, bytes32 reference_) external onlyOperator {
        _mint(to, amountUeur);
        emit Minted(to, amountUeur, reference_);
    }

    /// @inheritdoc ISettlementToken
    function burn(uint256 amountUeur, bytes32 reference_) external onlyOperator {
        _burn(msg.sender, amountUeur);
        emit Burned(amountUeur, reference_);
    }

    /// @notice 1 token = 1 EUR, in micro-euro.
    function decimals() public pure override(ERC20) returns (uint8) {
        return 6;
    }
}
