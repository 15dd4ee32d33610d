// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "contracts/interfaces/IMeritOrderAuction.sol";
import {MeritOrderReference} from "./MeritOrderReference.sol";
import {OfferHandlers} from "./OfferHandlers.sol";
import {VM, Vm} from "./Vm.sol";

/// @notice Batches of signed bids: bids, revisions, withdrawals, and every kind of bad one among them.
abstract contract BidHandlers is OfferHandlers {
    bytes32 private constant BID =
        keccak256("Bid(bytes32 offer,uint16 index,uint32 priceUeurKwh,uint24 quantity,uint24 minimum,uint8 revision)");

    function bids(uint256 number) external turn(number) {
        bytes32 id = _anyLot();
        if (id != 0) _post(id, _between(1, 5));
    }

    /// @dev Bids of up to `wanted` seats of the portfolio, from a place of its own on.
    function _post(bytes32 id, uint256 wanted) internal {
        uint256 count = registry.portfolioOf(lots[id].offer.portfolio).seatCount;
        if (count == 0) return;
        uint256 first = _draw(count);
        bytes memory batch;
        for (uint256 i = 0; i < wanted && i < count; ++i) {
            batch = bytes.concat(batch, _bid(id, (first + i) % count));
        }
        if (_draw(30) == 0) batch = bytes.concat(batch, hex"00");
        if (_tryOk(relayer, address(auction), abi.encodeCall(auction.postBids, (id, batch)))) _posted(id);
    }

    function _bid(bytes32 id, uint256 index) private returns (bytes memory) {
        Lot storage lot = lots[id];
        MeritOrderReference.Bid memory bid;
        bid.index = index;
        bid.revision = auction.postsOf(id, uint16(index));
        (bid.price, bid.quantity, bid.minimum) = _terms(id, lot.offer);
        address signer = registry.signerOf(_nanogridOf(lot, index)).signer;
        if (bid.revision == 2 || _draw(6) == 0) signer = registry.seatOf(_nanogridOf(lot, index)).owner;
        if (bid.revision == 2 || (bid.revision == 1 && _draw(3) == 0)) (bid.quantity, bid.minimum) = (0, 0);
        uint256 spoil = _draw(40);
        if (spoil == 0) bid.revision = _draw(4);
        if (spoil == 1) signer = stranger;
        if (spoil == 2) bid.minimum = bid.quantity + 1;
        if (spoil == 3) bid.price = _draw(2 ** 29);
        if (spoil == 4) bid.quantity = _draw(2 ** 24);
        if (spoil == 5) bid.notReserved = 1;
        if (spoil == 6) bid.index = _draw(2 ** 16);
        (bytes32 r, bytes32 vs) = _compact(signer, _bidDigest(id, bid));
        return abi.encodePacked(MeritOrderReference.pack(bid), r, vs);
    }

    /// @dev Each offer has a character of its own: one price for all, all or nothing, whole hundreds that fit exactly.
    function _terms(bytes32 id, IMeritOrderAuction.Offer memory offer)
        private
        returns (uint256 price, uint256 quantity, uint256 minimum)
    {
        uint256 character = uint256(id) % 4;
        uint256 limit = offer.limitPriceUeurKwh;
        if (offer.side == 0) price = character == 1 ? limit : _between(limit / 2 + 1, limit);
        else price = character == 1 ? limit : limit + _draw(100_000);
        quantity = _between(1, 1900);
        if (character == 2) quantity = _draw(6) == 0 ? 40 : uint256(offer.quantity) * 2 / 3 + 1 + _draw(500);
        if (quantity > 2000) quantity = 2000;
        minimum = character == 2 || _draw(3) == 0 ? quantity : _draw(quantity + 1);
        if (character != 3) return (price, quantity, minimum);
        (quantity, minimum) = (quantity + 100 - quantity % 100, minimum - minimum % 100);
    }

    function _bidDigest(bytes32 id, MeritOrderReference.Bid memory bid) private view returns (bytes32) {
        bytes32 message = keccak256(
            abi.encode(BID, id, bid.index, bid.price & (2 ** 29 - 1), bid.quantity, bid.minimum, bid.revision)
        );
        return _digest(auctionDomain, message);
    }

    /// @dev What was accepted is known by the event alone; the chain of hashes must be the one over it.
    function _posted(bytes32 id) private {
        Vm.Log[] memory logs = VM.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] == IMeritOrderAuction.BidSkipped.selector) {
                (, uint8 reason) = abi.decode(logs[i].data, (uint96, uint8));
                _mark("bid skipped", reason);
            } else if (logs[i].topics[0] == IMeritOrderAuction.BidsPosted.selector && logs[i].topics[1] == id) {
                (uint32 first, bytes memory records,) = abi.decode(logs[i].data, (uint32, bytes, bytes32));
                require(first == lots[id].records.length / MeritOrderReference.RECORD, "positions have a gap");
                _accept(id, records);
            }
        }
        require(auction.stateOf(id).bidCount == lots[id].records.length / MeritOrderReference.RECORD, "bid count");
    }

    function _accept(bytes32 id, bytes memory records) private {
        Lot storage lot = lots[id];
        for (uint256 i = 0; i < records.length / MeritOrderReference.RECORD; ++i) {
            MeritOrderReference.Bid memory bid = MeritOrderReference.bidAt(records, i);
            _mark("bid revision", uint8(bid.revision));
            _mark(bid.quantity == 0 ? "bid: withdrawal" : "bid: quantity");
            if (bid.notReserved == 0) _mark("bid: reserved");
            bool within =
                _isSell(lot) ? bid.price >= lot.offer.limitPriceUeurKwh : bid.price <= lot.offer.limitPriceUeurKwh;
            require(within || bid.quantity == 0, "accepted beyond the limit");
            require(bid.minimum <= bid.quantity, "accepted a minimum above the quantity");
            bytes32 sold = _sold(_nanogridOf(lot, bid.index), lot.offer.interval, _kindOf(lot.offer.product));
            require(wins[sold] == 0, "accepted from a winner");
        }
        lot.records = bytes.concat(lot.records, records);
    }
}
