"""Packs of several meters, a row for each; when a pack was collected (B31, L13); what came in, for statements."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

Int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# Bought at its order; a first grant with the account, in whose hour it begins; the others when they begin.
_COLLECTED_AT = """COALESCE(
    (SELECT MIN(o.at) FROM orders o WHERE o.account = p.account AND o.ref = p.id AND o.kind = 'pack'),
    (SELECT a.activated_at FROM account a
      WHERE a.id = p.account AND a.activated_at >= p.from_hour * 3600 AND a.activated_at < (p.from_hour + 1) * 3600),
    p.from_hour * 3600)"""
_COLUMNS = "key, account, id, meter, source, total, used, from_hour, to_hour, is_refunded"


_FROM_OUTSIDE = sa.text("debit LIKE 'system:%'")


def upgrade() -> None:
    op.create_index("transfer_in", "transfer", ["credit"], sqlite_where=_FROM_OUTSIDE, postgresql_where=_FROM_OUTSIDE)
    if op.get_bind().dialect.name == "postgresql":
        op.add_column("pack", sa.Column("collected_at", Int64, nullable=True))
        op.execute(f"UPDATE pack p SET collected_at = {_COLLECTED_AT}")  # noqa: S608
        op.alter_column("pack", "collected_at", nullable=False)
        op.drop_constraint("pack_id", "pack")
        op.create_unique_constraint("pack_id", "pack", ["account", "id", "meter"])
        return
    # SQLite changes no constraint of a table: it is made anew, under its name, so that lines keep pointing at it.
    op.execute("PRAGMA defer_foreign_keys = ON")
    op.execute(f"CREATE TEMPORARY TABLE kept AS SELECT {_COLUMNS}, {_COLLECTED_AT} AS collected_at FROM pack p")  # noqa: S608
    op.drop_table("pack")
    op.create_table(
        "pack",
        sa.Column("key", Int64, autoincrement=True, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("meter", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("total", Int64, nullable=False),
        sa.Column("used", Int64, nullable=False),
        sa.Column("from_hour", Int64, nullable=False),
        sa.Column("to_hour", Int64, nullable=False),
        sa.Column("is_refunded", Int64, nullable=False),
        sa.Column("collected_at", Int64, nullable=False),
        sa.CheckConstraint("used BETWEEN 0 AND total", name="pack_used"),
        sa.ForeignKeyConstraint(["account"], ["account.id"]),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("account", "id", "meter", name="pack_id"),
        sqlite_strict=True,
    )
    op.execute(f"INSERT INTO pack ({_COLUMNS}, collected_at) SELECT {_COLUMNS}, collected_at FROM kept")  # noqa: S608
    op.execute("DROP TABLE kept")
