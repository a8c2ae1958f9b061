"""What an operator may do (grants anew, adjustments, vetoes), and where notifications were sent."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# SQLite knows one integer, and STRICT accepts no other name for it.
Int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("account", sa.Column("grants_anchor_at", Int64, nullable=True))
    op.add_column("account", sa.Column("grants_series", Int64, nullable=False, server_default="0"))
    op.add_column("account", sa.Column("refund_veto", Int64, nullable=False, server_default="0"))
    op.add_column("settlement", sa.Column("reason", sa.Text(), nullable=True))
    op.create_index("outbox_unsent", "outbox", ["id"], sqlite_where=sa.text("sent_at IS NULL"),
                    postgresql_where=sa.text("sent_at IS NULL"))  # fmt: skip
    op.create_table(
        "delivery",
        sa.Column("notification", Int64, sa.ForeignKey("outbox.id"), nullable=False, autoincrement=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("attempts", Int64, nullable=False),
        sa.Column("next_at", Int64, nullable=False),
        sa.Column("ended_at", Int64, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("notification", "channel"),
        sqlite_strict=True,
    )
