// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IToken} from "./IToken.sol";
import {VM} from "./Vm.sol";

/// @notice How calls are made and counted: each goes out as it is and, now and then, before that in a spoilt form whose effects are
/// taken back. A contract may refuse a call by an error of its own only, never by a panic.
abstract contract CallCounter {
    bytes4 private constant PANIC = 0x4e487b71;
    bytes4 private constant ERROR = 0x08c379a0;
    uint256 private constant SPOILT_GAS = 16_777_216;
    uint256 private constant SPOILT_ONE_IN = 8;

    struct Count {
        uint64 tried;
        uint64 accepted;
    }

    uint256 internal clock;
    uint256 internal seed;
    uint256 private _dice;
    bytes32[] private _keys;
    mapping(bytes32 key => Count) private _counts;
    mapping(bytes32 key => bool) private _known;

    error Attempted(bool accepted, bytes answer);
    error PanicIn(bytes4 call, bytes answer);
    error NamelessRefusal(bytes4 call, bytes answer);
    error StrangerAllowed(bytes4 call);

    /// @dev Draws of this turn follow from forge's number; the clock is ours.
    modifier turn(uint256 number) {
        _dice = uint256(keccak256(abi.encode(number, seed)));
        VM.warp(clock);
        _;
        require(_held() == _owed(), "tokens held and owed differ");
    }

    function _draw(uint256 sides) internal returns (uint256) {
        _dice = uint256(keccak256(abi.encode(_dice)));
        return (_dice >> 16) % sides;
    }

    function _between(uint256 low, uint256 high) internal returns (uint256) {
        return low + _draw(high - low + 1);
    }

    /* CALLS */

    function _try(address from, address target, bytes memory data)
        internal
        returns (bool accepted, bytes memory answer)
    {
        if (_draw(SPOILT_ONE_IN) == 0) _trySpoilt(from, target, data);
        VM.recordLogs(); // anew: forge keeps the logs of what was taken back
        VM.prank(from);
        (accepted, answer) = target.call(data);
        _tally("call", bytes4(data), accepted);
        if (!accepted) _requireNamed(bytes4(data), answer);
    }

    function _tryOk(address from, address target, bytes memory data) internal returns (bool accepted) {
        (accepted,) = _try(from, target, data);
    }

    /// @dev The same call by somebody else, with another word, or cut off.
    function _trySpoilt(address from, address target, bytes memory data) private {
        bytes memory spoilt = bytes.concat(data);
        uint256 how = _draw(4);
        if (how == 0) from = _anyone();
        else if (how == 3 && data.length > 36) spoilt = _cut(spoilt, 4 + _draw(data.length - 4));
        else if (data.length > 36) _replaceWord(spoilt, 4 + 32 * _draw((data.length - 4) / 32));
        (bool accepted, bytes memory answer) = _rehearse(from, target, spoilt);
        _tally("spoilt", bytes4(data), accepted);
        if (accepted) return;
        if (how == 0) _requireNamed(bytes4(data), answer);
        else _requireNoPanic(bytes4(data), answer);
    }

    /// @dev What would happen: nothing stays of it.
    function _rehearse(address from, address target, bytes memory data) internal returns (bool, bytes memory) {
        try this.attempt(from, target, data) {
            revert("attempt always reverts");
        } catch (bytes memory outcome) {
            require(bytes4(outcome) == Attempted.selector, "attempt broke a rule");
            assembly ("memory-safe") {
                mstore(add(outcome, 4), sub(mload(outcome), 4))
                outcome := add(outcome, 4)
            }
            return abi.decode(outcome, (bool, bytes));
        }
    }

    function attempt(address from, address target, bytes calldata data) external {
        require(msg.sender == address(this));
        VM.prank(from);
        (bool accepted, bytes memory answer) = target.call{gas: SPOILT_GAS}(data);
        require(_held() >= _owed(), "a spoilt call left less than is owed");
        revert Attempted(accepted, answer);
    }

    function _replaceWord(bytes memory data, uint256 offset) private {
        uint256 choice = _draw(6);
        uint256 word =
            choice == 0 ? 0 : choice == 1 ? type(uint256).max : choice == 2 ? _draw(2 ** 16) : _draw(2 ** 240);
        if (choice == 4) word = uint256(uint160(_anyone()));
        if (choice == 5) word = type(uint256).max >> _draw(256);
        assembly ("memory-safe") {
            mstore(add(add(data, 32), offset), word)
        }
    }

    function _cut(bytes memory data, uint256 length) private pure returns (bytes memory) {
        assembly ("memory-safe") {
            mstore(data, length)
        }
        return data;
    }

    function _requireNamed(bytes4 called, bytes memory answer) private {
        _requireNoPanic(called, answer);
        if (answer.length < 4 || bytes4(answer) == ERROR) revert NamelessRefusal(called, answer);
        _tally("error", bytes4(answer), true);
    }

    /// @dev Panic 0x41 is the compiler's own answer to call data that names an array longer than memory. OpenZeppelin's token answers
    /// with a panic when the operator mints more than 2^256 in all.
    function _requireNoPanic(bytes4 called, bytes memory answer) private pure {
        if (bytes4(answer) != PANIC || called == IToken.mint.selector) return;
        if (keccak256(answer) == keccak256(abi.encodeWithSelector(PANIC, 0x41))) return;
        revert PanicIn(called, answer);
    }

    function _anyone() internal virtual returns (address);

    /// @dev Tokens of Settlement, and what it says that it owes.
    function _held() internal view virtual returns (uint256);

    function _owed() internal view virtual returns (uint256);

    /* COUNTS */

    /// @dev A state or an outcome that was reached.
    function _mark(string memory group, uint256 number) internal {
        _add(bytes32(bytes.concat(bytes(group), " ", bytes1(uint8(number)))), true);
    }

    function _mark(string memory name) internal {
        _add(bytes32(bytes(name)), true);
    }

    function _tally(bytes6 group, bytes4 selector, bool accepted) private {
        _add(bytes32(bytes.concat(group, " ", selector)), accepted);
    }

    function _add(bytes32 key, bool accepted) private {
        if (!_known[key]) {
            _known[key] = true;
            _keys.push(key);
        }
        Count storage count = _counts[key];
        ++count.tried;
        if (accepted) ++count.accepted;
    }

    /// @notice 48 bytes for each key: the key, how often it was tried, how often it was accepted.
    function counts() external view returns (bytes memory packed) {
        for (uint256 i = 0; i < _keys.length; ++i) {
            Count memory count = _counts[_keys[i]];
            packed = bytes.concat(packed, _keys[i], bytes8(count.tried), bytes8(count.accepted));
        }
    }
}
