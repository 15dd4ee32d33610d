"""Of a nanogrid's bids on an offer, only one of each revision waits or is posted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_IS_LIVE = sa.text("state IN ('RECEIVED', 'POSTED')")


def upgrade() -> None:
    # Where two were received at once, the chain has taken one at most; the other one's end is written down.
    op.execute(
        """
        UPDATE bids_received SET state = 'LATE', reason = 'WRONG_REVISION'
        WHERE state = 'RECEIVED' AND EXISTS (
            SELECT 1 FROM bids_received AS other
            WHERE other.offer = bids_received.offer AND other.nanogrid = bids_received.nanogrid
            AND other.revision = bids_received.revision AND other.id <> bids_received.id
            AND (other.state = 'POSTED' OR (other.state = 'RECEIVED' AND other.id < bids_received.id))
        )
        """
    )
    op.create_index(
        "uq_bids_received_live",
        "bids_received",
        ["offer", "nanogrid", "revision"],
        unique=True,
        sqlite_where=_IS_LIVE,
        postgresql_where=_IS_LIVE,
    )


def downgrade() -> None:
    op.drop_index("uq_bids_received_live", table_name="bids_received")
