"""A change of owner without the owner's signature is announced, and can be objected to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("nanogrids", sa.Column("announced_owner", sa.String(42), nullable=True))
    op.add_column("nanogrids", sa.Column("transfer_possible_from", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("nanogrids", "transfer_possible_from")
    op.drop_column("nanogrids", "announced_owner")
