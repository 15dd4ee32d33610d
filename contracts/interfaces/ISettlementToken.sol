// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The market's money: ERC-20 with 6 decimals (1 token = 1 EUR) and permit (ERC-2612). The operator mints against real money
/// received and burns its own balance against real money paid out; nobody can burn or move another's tokens.
interface ISettlementToken {
    event Minted(address indexed to, uint256 amountUeur, bytes32 reference_);
    event Burned(uint256 amountUeur, bytes32 reference_);

    error NotOperator(address caller);

    /// @notice The operator makes tokens for money that has arrived.
    /// @param reference_ Reference of the bank transfer behind it
    function mint(address to, uint256 amountUeur, bytes32 reference_) external;
    /// @notice The operator destroys tokens of its own balance, for money that it has paid out.
    /// @param reference_ Reference of the bank transfer behind it
    function burn(uint256 amountUeur, bytes32 reference_) external;
}
