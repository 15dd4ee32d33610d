"""A bid with a receipt that was not posted has the relayer's signed reason; earlier ones keep theirs unsigned."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("bids_received", sa.Column("refusal_signature", sa.LargeBinary(), nullable=True))
    op.add_column("bids_received", sa.Column("refused_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("bids_received", "refused_at")
    op.drop_column("bids_received", "refusal_signature")
