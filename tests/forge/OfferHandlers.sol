// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "contracts/interfaces/IMeritOrderAuction.sol";
import {SignalHandlers} from "./SignalHandlers.sol";

/// @notice Requests and their escrow, offers: opened, cancelled, expired, reclaimed.
abstract contract OfferHandlers is SignalHandlers {
    bytes32 private constant REQUEST = keccak256(
        "Request(uint32 node,uint32 firstInterval,uint8 product,uint8 direction,uint32 priceUeurKwh,uint40[] quantities,uint64 salt)"
    );
    bytes32 private constant OFFER = keccak256(
        "Offer(uint32 portfolio,bytes32 request,uint32 interval,uint8 side,uint8 direction,uint8 product,uint40 quantity,uint32 limitPriceUeurKwh,uint32 gateClosure,uint64 salt)"
    );
    bytes32 private constant CANCELLATION = keccak256("Cancellation(bytes32 offer)");

    /* REQUESTS */

    function requests(uint256 number) external turn(number) {
        _publish(uint32(_between(1, 2)), _anyInterval(), _draw(2) == 0 ? 1 : 3);
    }

    function _publish(uint32 node, uint32 interval, uint8 product) internal {
        IMeritOrderAuction.Request memory request;
        request.node = node;
        request.firstInterval = interval;
        request.product = product;
        request.direction = _directionOf(interval, product);
        request.priceUeurKwh = uint32(_between(1, 500_000));
        request.quantities = new uint40[](_between(1, 2));
        for (uint256 i = 0; i < request.quantities.length; ++i) {
            if (_draw(6) != 0) request.quantities[i] = uint40(_between(1, 12_000));
        }
        request.salt = ++salt;
        (address from, bytes memory signature) =
            _authorise(registry.nodeOf(node).dso, auctionDomain, _requestMessage(request));
        (bool ok, bytes memory answer) =
            _try(from, address(auction), abi.encodeCall(auction.publishRequest, (request, signature)));
        if (ok) _published(abi.decode(answer, (bytes32)), request);
    }

    function _published(bytes32 id, IMeritOrderAuction.Request memory request) private {
        requested.push();
        Requested storage kept = requested[requested.length - 1];
        kept.id = id;
        kept.request = request;
        for (uint256 i = 0; i < request.quantities.length; ++i) {
            bytes32 escrow = _requestEscrow(id, request.firstInterval + i * U);
            // Rounded up: what offers take from it is rounded down.
            requestMoney[escrow] = (uint256(request.quantities[i]) * request.priceUeurKwh + 999) / 1000;
            kept.locked += requestMoney[escrow];
            _watch(escrow);
            _requireRequestAddsUp(id, request.firstInterval + i * U);
        }
    }

    /// @dev One direction for a kind of energy and an interval, so that a reading may serve all who sell it.
    function _directionOf(uint256 interval, uint8 product) internal view returns (uint8) {
        return uint8(uint256(keccak256(abi.encode(interval, _kindOf(product), seed))) & 1);
    }

    function _requestMessage(IMeritOrderAuction.Request memory request) private pure returns (bytes32) {
        bytes memory quantities;
        for (uint256 i = 0; i < request.quantities.length; ++i) {
            quantities = bytes.concat(quantities, abi.encode(request.quantities[i]));
        }
        return keccak256(
            abi.encode(
                REQUEST,
                request.node,
                request.firstInterval,
                request.product,
                request.direction,
                request.priceUeurKwh,
                keccak256(quantities),
                request.salt
            )
        );
    }

    function reclaims(uint256 number) external turn(number) {
        if (requested.length == 0) return;
        Requested storage of_ = requested[_draw(requested.length)];
        _reclaim(of_.id, uint32(of_.request.firstInterval + _draw(of_.request.quantities.length) * U));
    }

    /// @dev Anybody: the DSO gets all that no offer holds.
    function _reclaim(bytes32 request, uint32 interval) internal {
        bytes32 escrow = _requestEscrow(request, interval);
        (, address dso,) = auction.requestOf(request);
        uint256 expected = settlement.balanceOf(dso) + requestMoney[escrow];
        bytes memory data = abi.encodeCall(auction.reclaimRequest, (request, interval));
        if (!_tryOk(stranger, address(auction), data)) return;
        requestMoney[escrow] = 0;
        require(settlement.balanceOf(dso) == expected, "reclaimed something else");
        _requireRequestAddsUp(request, interval);
    }

    /* OFFERS */

    function offers(uint256 number) external turn(number) {
        uint32 portfolio = portfolios[_draw(portfolios.length)];
        if (_draw(2) == 0 || requested.length == 0) {
            _openInternal(portfolio, _anyInterval());
        } else {
            _openAnswer(portfolio, requested[requested.length - 1 - _draw(requested.length < 4 ? requested.length : 4)]);
        }
    }

    function _openInternal(uint32 portfolio, uint32 interval) internal {
        IMeritOrderAuction.Offer memory offer;
        offer.portfolio = portfolio;
        offer.interval = interval;
        offer.product = 6;
        offer.side = uint8(_draw(2));
        offer.direction = _directionOf(interval, 6);
        offer.quantity = uint40(_between(1, portfolio == 1 && _draw(2) == 0 ? 18_000 : 2500));
        offer.limitPriceUeurKwh = uint32(_between(1, offer.side == 0 ? 500_000 : 200_000));
        offer.gateClosure = uint32(_moment(interval, 345) - _draw(8) / 7 * _draw(400));
        _open(offer, registry.portfolioOf(portfolio).aggregator, 0);
    }

    function _openAnswer(uint32 portfolio, Requested storage of_) internal {
        IMeritOrderAuction.Request memory request = of_.request;
        IMeritOrderAuction.Offer memory offer;
        offer.portfolio = portfolio;
        offer.request = of_.id;
        offer.interval = uint32(request.firstInterval + _draw(request.quantities.length) * U);
        offer.product = request.product;
        offer.direction = request.direction;
        uint40 available = auction.availableOf(of_.id, offer.interval);
        uint256 share = _between(1, 4);
        offer.quantity = available / uint40(share) + uint40(_draw(16) / 15);
        if (offer.quantity > 3000 && portfolio != 1) offer.quantity = uint40(_between(100, 3000));
        offer.limitPriceUeurKwh = request.priceUeurKwh - uint32(_draw(uint256(request.priceUeurKwh) / 4 + 1));
        offer.gateClosure = uint32(_moment(offer.interval, 140) - _draw(8) / 7 * _draw(400));
        _open(offer, registry.portfolioOf(portfolio).aggregator, request.priceUeurKwh);
    }

    function _open(IMeritOrderAuction.Offer memory offer, address aggregator, uint32 requestPrice) private {
        if (offer.quantity > 100 && _draw(2) == 0) offer.quantity -= offer.quantity % 100;
        offer.salt = ++salt;
        (address from, bytes memory signature) =
            _authorise(aggregator, auctionDomain, keccak256(abi.encode(OFFER, offer)));
        (bool ok, bytes memory answer) =
            _try(from, address(auction), abi.encodeCall(auction.openOffer, (offer, signature)));
        if (ok) _opened(abi.decode(answer, (bytes32)), offer, aggregator, requestPrice);
    }

    function _opened(bytes32 id, IMeritOrderAuction.Offer memory offer, address aggregator, uint32 requestPrice)
        private
    {
        require(clock + HORIZON >= offer.interval, "opened before the horizon");
        lotIds.push(id);
        Lot storage lot = lots[id];
        lot.offer = offer;
        (lot.payer, lot.aggregator) = (aggregator, aggregator);
        uint256 price = offer.limitPriceUeurKwh;
        if (offer.request != 0) {
            (, lot.payer,) = auction.requestOf(offer.request);
            price = lot.requestPrice = requestPrice;
        }
        if (offer.side == 0) lot.escrowIn = uint256(offer.quantity) * price / 1000;
        if (offer.request != 0) {
            requestMoney[_requestEscrow(offer.request, offer.interval)] -= lot.escrowIn;
            _requireRequestAddsUp(offer.request, offer.interval);
        }
        _watch(id);
        _requireEscrowAddsUp(id);
        _mark("product", offer.product);
        _mark("side", offer.side);
        _mark("status", uint8(IMeritOrderAuction.Status.OPEN));
    }

    /* ENDS WITHOUT A RESULT */

    function cancels(uint256 number) external turn(number) {
        bytes32 id = _anyLot();
        if (id == 0 || _draw(2) == 0) return;
        (address from, bytes memory signature) = _authorise(
            registry.portfolioOf(lots[id].offer.portfolio).aggregator,
            auctionDomain,
            keccak256(abi.encode(CANCELLATION, id))
        );
        if (!_tryOk(from, address(auction), abi.encodeCall(auction.cancelOffer, (id, signature)))) return;
        require(lots[id].records.length == 0, "cancelled beside a bid");
        _endedWithoutResult(id, IMeritOrderAuction.Status.CANCELLED);
    }

    function expiries(uint256 number) external turn(number) {
        bytes32 id = _anyLot();
        if (id != 0) _expire(id);
    }

    function _expire(bytes32 id) internal {
        if (!_tryOk(stranger, address(auction), abi.encodeCall(auction.expireOffer, (id)))) return;
        _endedWithoutResult(id, IMeritOrderAuction.Status.EXPIRED);
    }

    function _endedWithoutResult(bytes32 id, IMeritOrderAuction.Status status) private {
        require(!lots[id].isFinal, "a final result was ended");
        require(_statusOf(id) == status, "another status");
        _mark("status", uint8(status));
        _giveBack(id, lots[id].escrowIn - lots[id].returned);
    }

    /// @dev What an offer does not need any more goes back where it came from.
    function _giveBack(bytes32 id, uint256 amount) internal {
        Lot storage lot = lots[id];
        lot.returned += amount;
        if (lot.offer.request != 0) {
            bytes32 escrow = _requestEscrow(lot.offer.request, lot.offer.interval);
            requestMoney[escrow] += amount;
            _watch(escrow);
            _requireRequestAddsUp(lot.offer.request, lot.offer.interval);
        }
        _requireEscrowAddsUp(id);
    }
}
