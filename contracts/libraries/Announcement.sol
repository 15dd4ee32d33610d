// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GatewayReading} from "./GatewayReading.sol";

/// @notice What was announced of a nanogrid's interval, in one word, most significant first: annulled 1 | 95 unused | announcedAt 64 |
/// activeEnergyWh 32 | reactiveEnergyVarh 32 | sequence 32. The lowest 96 bits are those of a GatewayReading.
/// @dev One word, because a settlement of one award would spend 1 % of its gas on passing a struct.
type Announcement is uint256;

using Announcements for Announcement global;

library Announcements {
    uint256 private constant _ANNULLED = 1 << 255;
    uint256 private constant _ANNOUNCED_AT = 96;

    /// @notice The announcement with a reading, and when it was announced.
    function withReading(Announcement announcement, GatewayReading reading, uint256 announcedAt_)
        internal
        pure
        returns (Announcement)
    {
        uint256 annulled = Announcement.unwrap(announcement) & _ANNULLED;
        return Announcement.wrap(annulled | announcedAt_ << _ANNOUNCED_AT | uint96(GatewayReading.unwrap(reading)));
    }

    /// @notice The announcement as one that two readings which differ have annulled.
    function asAnnulled(Announcement announcement) internal pure returns (Announcement) {
        return Announcement.wrap(Announcement.unwrap(announcement) | _ANNULLED);
    }

    function isAnnulled(Announcement announcement) internal pure returns (bool) {
        return Announcement.unwrap(announcement) & _ANNULLED != 0;
    }

    /// @notice When a reading was announced; 0: never. [s]
    function announcedAt(Announcement announcement) internal pure returns (uint256) {
        return uint64(Announcement.unwrap(announcement) >> _ANNOUNCED_AT);
    }

    /// @notice Whether just this reading was announced: the same energies and the same sequence.
    function isOf(Announcement announcement, GatewayReading reading) internal pure returns (bool) {
        bool isSame = uint96(Announcement.unwrap(announcement)) == uint96(GatewayReading.unwrap(reading));
        return isSame && announcement.announcedAt() != 0;
    }
}
