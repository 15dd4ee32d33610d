// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice A malicious token in place of the market's: armed, it calls back in the middle of the next transfer.
contract ReentrantToken is ERC20 {
    address private _target;
    bytes private _call;

    bool public tried;
    bool public succeeded;
    bytes public answer;

    constructor() ERC20("Reentrant", "RE") {}

    function mint(address to, uint256 amount, bytes32) external {
        _mint(to, amount);
    }

    function arm(address target, bytes calldata call_) external {
        _target = target;
        _call = call_;
        tried = false;
    }

    /// @dev After the transfer: the receiver has the tokens already, and asks for them once more.
    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (_target == address(0)) return;
        address target = _target;
        _target = address(0);
        tried = true;
        (succeeded, answer) = target.call(_call);
    }
}
