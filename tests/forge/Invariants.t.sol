// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Market} from "./Market.sol";
import {VM} from "./Vm.sol";

/// @notice Random sequences of every call by everybody: after each the books agree, at the end nothing is stuck.
abstract contract Invariants {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    uint256 private constant ADVANCES = 24;

    Market internal market;

    function _name() internal pure virtual returns (string memory);

    /// @dev Some capacity contracts are there before their month begins, so that reserved resources bid.
    function _open(Market market_) internal {
        market = market_;
        for (uint256 i = 0; i < 16; ++i) {
            market.capacities(i);
        }
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(market);
    }

    /// @dev A selector that stands more than once is called more often.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[28] memory single = [
            market.registrations.selector,
            market.delegations.selector,
            market.roles.selector,
            market.capacities.selector,
            market.trespasses.selector,
            market.signalsOfDsos.selector,
            market.validations.selector,
            market.verdicts.selector,
            market.commands.selector,
            market.anchors.selector,
            market.requests.selector,
            market.reclaims.selector,
            market.offers.selector,
            market.cancels.selector,
            market.expiries.selector,
            market.bids.selector,
            market.clears.selector,
            market.forgedClaims.selector,
            market.finalises.selector,
            market.settles.selector,
            market.settlesAlone.selector,
            market.awardExpiries.selector,
            market.commandSettlements.selector,
            market.holds.selector,
            market.announcements.selector,
            market.annulments.selector,
            market.gateways.selector,
            market.deposits.selector
        ];
        bytes4[4] memory more =
            [market.withdrawals.selector, market.bonds.selector, market.tokens.selector, market.jump.selector];
        bytes4[] memory all = new bytes4[](single.length + more.length + ADVANCES);
        for (uint256 i = 0; i < all.length; ++i) {
            if (i < single.length) all[i] = single[i];
            else if (i < single.length + more.length) all[i] = more[i - single.length];
            else all[i] = market.advance.selector;
        }
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(market), all);
    }

    function invariant_everythingOwedIsCountedAndHeld() external {
        market.check();
    }

    function afterInvariant() external {
        string memory folder = VM.envOr("MERITGRID_INVARIANTS_FOLDER", string("../../build/forge"));
        market.drain();
        VM.writeLine(string.concat(folder, "/", _name(), ".counts"), VM.toString(market.counts()));
    }
}

/// @notice A portfolio of twenty: trees of several leaves, sixteen passed over.
contract LargePortfolioInvariants is Invariants {
    function setUp() external {
        _open(new Market(1, 20));
    }

    function _name() internal pure override returns (string memory) {
        return "large";
    }
}

/// @notice Small portfolios: more rounds of the market for the same time.
contract SmallPortfoliosInvariants is Invariants {
    function setUp() external {
        _open(new Market(2, 6));
    }

    function _name() internal pure override returns (string memory) {
        return "small";
    }
}
