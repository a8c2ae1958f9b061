"""Whose the store is: one node at a time writes it (billing/owner.py)."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "owner",
        sa.Column("id", Int64, nullable=False, autoincrement=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("data_id", sa.Text(), nullable=False),
        sa.Column("boot", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", Int64, nullable=False),
        sa.Column("since", Int64, nullable=False),
        sa.Column("beat_at", Int64, nullable=False),
        sa.Column("released_at", Int64, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
