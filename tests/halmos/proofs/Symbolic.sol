// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

interface Vm {
    function assume(bool condition) external pure;
}

/// @notice What every proof needs: an assumption about symbolic inputs. Arguments of `check_…` are symbolic, all values at once.
abstract contract Symbolic {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
}
