"""The ledger and the counters: the first version of the store."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# SQLite knows one integer, and STRICT accepts no other name for it.
Int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
APPEND_ONLY = ("transfer", "settlement", "line", "orders", "transition", "price")


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("activated_at", Int64, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_at", Int64, nullable=False),
        sa.Column("has_free_quota", Int64, nullable=False),
        sa.Column("alert_e8", Int64, nullable=True),
        sa.Column("alerted_on", sa.Text(), nullable=True),
        sa.Column("first_event_at", Int64, nullable=True),
        sa.Column("grants_given", Int64, nullable=False),
        sa.Column("acts", Int64, nullable=False),
        sa.Column("due_at", Int64, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_index("account_due", "account", ["due_at"], unique=False)
    op.create_table(
        "basis",
        sa.Column("from_hour", Int64, autoincrement=False, nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("from_hour"),
        sqlite_strict=True,
    )
    op.create_table(
        "five_day",
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("at", Int64, nullable=False),
        sa.PrimaryKeyConstraint("entity"),
        sqlite_strict=True,
    )
    op.create_table(
        "price",
        sa.Column("id", Int64, autoincrement=True, nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=True),
        sa.Column("per", Int64, nullable=False),
        sa.Column("tiers", sa.Text(), nullable=False),
        sa.Column("from_hour", Int64, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_table(
        "request",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("at", Int64, nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sqlite_strict=True,
    )
    op.create_table(
        "settler",
        sa.Column("id", Int64, autoincrement=False, nullable=False),
        sa.Column("through_hour", Int64, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_table(
        "accumulator",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("price", Int64, autoincrement=False, nullable=False),
        sa.Column("tier", Int64, autoincrement=False, nullable=False),
        sa.Column("quantity", Int64, nullable=False),
        sa.Column("amount_e8", Int64, nullable=False),
        sa.ForeignKeyConstraint(
            ["account"],
            ["account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["price"],
            ["price.id"],
        ),
        sa.PrimaryKeyConstraint("account", "sku", "region", "month", "price", "tier"),
        sqlite_strict=True,
    )
    op.create_table(
        "instance",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("charge", sa.Text(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=True),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("price_e8", Int64, nullable=False),
        sa.Column("months", Int64, nullable=False),
        sa.Column("renewals", Int64, nullable=False),
        sa.Column("started_at", Int64, nullable=False),
        sa.Column("ended_at", Int64, nullable=True),
        sa.Column("expires_at", Int64, nullable=True),
        sa.Column("was_refunded", Int64, nullable=False),
        sa.Column("is_declared", Int64, nullable=False),
        sa.Column("clocked_to", Int64, nullable=False),
        sa.Column("hold_target_e8", Int64, nullable=False),
        sa.Column("hold_cash_e8", Int64, nullable=False),
        sa.Column("hold_income_e8", Int64, nullable=False),
        sa.Column("hold_gift_e8", Int64, nullable=False),
        sa.ForeignKeyConstraint(
            ["account"],
            ["account.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_index("instance_account", "instance", ["account"], unique=False)
    op.create_table(
        "ladder",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("units", Int64, nullable=False),
        sa.ForeignKeyConstraint(
            ["account"],
            ["account.id"],
        ),
        sa.PrimaryKeyConstraint("account", "sku", "month"),
        sqlite_strict=True,
    )
    op.create_table(
        "orders",
        sa.Column("id", Int64, autoincrement=True, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("at", Int64, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("list_e8", Int64, nullable=False),
        sa.Column("voucher_e8", Int64, nullable=False),
        sa.Column("gift_e8", Int64, nullable=False),
        sa.Column("income_e8", Int64, nullable=False),
        sa.Column("cash_e8", Int64, nullable=False),
        sa.ForeignKeyConstraint(
            ["account"],
            ["account.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_index("orders_ref", "orders", ["account", "ref"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", Int64, autoincrement=True, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("at", Int64, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("sent_at", Int64, nullable=True),
        sa.ForeignKeyConstraint(
            ["account"],
            ["account.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_index("outbox_account", "outbox", ["account"], unique=False)
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
        sa.CheckConstraint("used BETWEEN 0 AND total", name="pack_used"),
        sa.ForeignKeyConstraint(
            ["account"],
            ["account.id"],
        ),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("account", "id", name="pack_id"),
        sqlite_strict=True,
    )
    op.create_table(
        "settlement",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("hour", Int64, autoincrement=False, nullable=False),
        sa.Column("rev", Int64, autoincrement=False, nullable=False),
        sa.Column("at", Int64, nullable=False),
        sa.Column("bill_month", sa.Text(), nullable=False),
        sa.Column("corrects_month", sa.Text(), nullable=True),
        sa.Column("is_late", Int64, nullable=False),
        sa.Column("amount_e8", Int64, nullable=False),
        sa.Column("voucher_e8", Int64, nullable=False),
        sa.Column("gift_e8", Int64, nullable=False),
        sa.Column("income_e8", Int64, nullable=False),
        sa.Column("cash_e8", Int64, nullable=False),
        sa.ForeignKeyConstraint(
            ["account"],
            ["account.id"],
        ),
        sa.PrimaryKeyConstraint("account", "hour", "rev"),
        sqlite_strict=True,
    )
    op.create_index("settlement_bill", "settlement", ["account", "bill_month"], unique=False)
    op.create_table(
        "transition",
        sa.Column("id", Int64, autoincrement=True, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("at", Int64, nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account"],
            ["account.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_index("transition_account", "transition", ["account"], unique=False)
    op.create_table(
        "voucher",
        sa.Column("key", Int64, autoincrement=True, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("total_e8", Int64, nullable=False),
        sa.Column("left_e8", Int64, nullable=False),
        sa.Column("expires_at", Int64, nullable=False),
        sa.CheckConstraint("left_e8 BETWEEN 0 AND total_e8", name="voucher_left"),
        sa.ForeignKeyConstraint(
            ["account"],
            ["account.id"],
        ),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("account", "id", name="voucher_id"),
        sqlite_strict=True,
    )
    op.create_table(
        "wallet",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=True),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("balance_e8", Int64, nullable=False),
        sa.ForeignKeyConstraint(
            ["account"],
            ["account.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_index("wallet_account", "wallet", ["account"], unique=False)
    op.create_table(
        "line",
        sa.Column("id", Int64, autoincrement=True, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("hour", Int64, nullable=False),
        sa.Column("rev", Int64, nullable=False),
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("meter", sa.Text(), nullable=False),
        sa.Column("cover", sa.Text(), nullable=False),
        sa.Column("price", Int64, nullable=True),
        sa.Column("tier", Int64, nullable=True),
        sa.Column("pack", Int64, nullable=True),
        sa.Column("quantity", Int64, nullable=False),
        sa.Column("unit_price_e8", Int64, nullable=False),
        sa.Column("per", Int64, nullable=False),
        sa.Column("list_e8", Int64, nullable=False),
        sa.Column("amount_e8", Int64, nullable=False),
        sa.ForeignKeyConstraint(
            ["account"],
            ["account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["pack"],
            ["pack.key"],
        ),
        sa.ForeignKeyConstraint(
            ["price"],
            ["price.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_index("line_hour", "line", ["account", "hour"], unique=False)
    op.create_table(
        "transfer",
        sa.Column("id", Int64, autoincrement=True, nullable=False),
        sa.Column("idem", sa.Text(), nullable=False),
        sa.Column("journal", sa.Text(), nullable=False),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("amount_e8", Int64, nullable=False),
        sa.Column("at", Int64, nullable=False),
        sa.CheckConstraint("amount_e8 > 0", name="transfer_amount"),
        sa.CheckConstraint("debit <> credit", name="transfer_ends"),
        sa.ForeignKeyConstraint(
            ["credit"],
            ["wallet.id"],
        ),
        sa.ForeignKeyConstraint(
            ["debit"],
            ["wallet.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("idem"),
        sqlite_strict=True,
    )
    op.create_table(
        "counter",
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("meter", sa.Text(), nullable=False),
        sa.Column("hour", Int64, autoincrement=False, nullable=False),
        sa.Column("value", Int64, nullable=False),
        sa.PrimaryKeyConstraint("writer", "account", "instance", "region", "service", "meter", "hour"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("counter_by_account_hour", "counter", ["account", "hour"], unique=False)
    op.create_table(
        "dirty",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("hour", Int64, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("account", "hour"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "seal",
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("through_hour", Int64, nullable=False),
        sa.PrimaryKeyConstraint("writer"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    refuse_changes()


def refuse_changes() -> None:
    """The tables of APPEND_ONLY refuse UPDATE and DELETE."""
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    if is_postgresql:
        op.execute(
            "CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' is append-only'; END $$"
        )
    for table in APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            head = f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}"
            if is_postgresql:
                op.execute(f"{head} FOR EACH ROW EXECUTE FUNCTION append_only()")
            else:
                op.execute(f"{head} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END")


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken back")
