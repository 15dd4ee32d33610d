"""API keys that expire, and since when a nanogrid has its owner.

After this migration `meritgrid market reindex` fills `nanogrids.owned_since` of nanogrids that changed hands before.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("expires_at", sa.BigInteger(), nullable=True))
    op.add_column("nanogrids", sa.Column("owned_since", sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("nanogrids", "owned_since")
    op.drop_column("api_keys", "expires_at")
