"""The store of the ledger (RULES C.2), for SQLite and PostgreSQL alike.

Instants are epoch seconds, hours are instants / 3600, money is e8 in 64 bits, flags are 0 or 1. What happened is
only ever added: triggers refuse UPDATE and DELETE on the tables of `APPEND_ONLY`.
"""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

# SQLite knows one integer, and STRICT accepts no other name for it.
Int64: Final = BigInteger().with_variant(Integer, "sqlite")


def _number(name: str, *, optional: bool = False) -> Column[int]:
    return Column(name, Int64, nullable=optional)


def _text(name: str, *, optional: bool = False) -> Column[str]:
    return Column(name, Text, nullable=optional)


def _serial(name: str) -> Column[int]:
    return Column(name, Int64, primary_key=True, autoincrement=True)


def _account(*, primary_key: bool = False) -> Column[str]:
    return Column("account", Text, ForeignKey("account.id"), primary_key=primary_key, nullable=False)


# Of a transfer: its money comes from one of the currency's own wallets (ledger.py).
FROM_OUTSIDE: Final = "debit LIKE 'system:%'"

account = Table(
    "account",
    metadata,
    Column("id", Text, primary_key=True),
    _text("entity"),
    _text("currency"),
    _number("activated_at"),
    _text("state"),
    _number("state_at"),
    _number("has_free_quota"),
    _number("alert_e8", optional=True),
    _text("alerted_on", optional=True),
    _number("first_event_at", optional=True),
    _number("grants_given"),
    _number("acts"),
    _number("due_at", optional=True),
    _number("grants_anchor_at", optional=True),  # of a free quota given anew (B20); else the activation
    Column("grants_series", Int64, nullable=False, server_default="0"),
    Column("refund_veto", Int64, nullable=False, server_default="0"),  # B45
    Index("account_due", "due_at"),
    sqlite_strict=True,
)

instance = Table(
    "instance",
    metadata,
    Column("id", Text, primary_key=True),
    _account(),
    _text("type"),
    _text("charge"),
    _text("spec", optional=True),
    _text("region"),
    _text("state"),
    _number("price_e8"),
    _number("months"),
    _number("renewals"),
    _number("started_at"),
    _number("ended_at", optional=True),
    _number("expires_at", optional=True),
    _number("was_refunded"),
    _number("is_declared"),
    _number("clocked_to"),
    _number("hold_target_e8"),
    _number("hold_cash_e8"),
    _number("hold_income_e8"),
    _number("hold_gift_e8"),
    Index("instance_account", "account"),
    sqlite_strict=True,
)

# Who used the five-day refund; the key is what makes it once for each legal entity (B43).
five_day = Table(
    "five_day",
    metadata,
    Column("entity", Text, primary_key=True),
    _text("instance"),
    _number("at"),
    sqlite_strict=True,
)

price = Table(
    "price",
    metadata,
    _serial("id"),
    _text("sku"),
    _text("region", optional=True),
    _number("per"),
    _text("tiers"),  # JSON [[up_to or null, e8], …]
    _number("from_hour"),
    sqlite_strict=True,
)

# Which bytes are billed, application or wire (X16), from an hour on.
basis = Table(
    "basis",
    metadata,
    Column("from_hour", Int64, primary_key=True, autoincrement=False),
    _text("basis"),
    sqlite_strict=True,
)

pack = Table(
    "pack",
    metadata,
    _serial("key"),
    _account(),
    _text("id"),
    _text("meter"),
    _text("source"),
    _number("total"),
    _number("used"),
    _number("from_hour"),
    _number("to_hour"),
    _number("is_refunded"),
    _number("collected_at"),
    # One row for each meter of it (B31).
    UniqueConstraint("account", "id", "meter", name="pack_id"),
    CheckConstraint("used BETWEEN 0 AND total", name="pack_used"),
    sqlite_strict=True,
)

voucher = Table(
    "voucher",
    metadata,
    _serial("key"),
    _account(),
    _text("id"),
    _number("total_e8"),
    _number("left_e8"),
    _number("expires_at"),
    UniqueConstraint("account", "id", name="voucher_id"),
    CheckConstraint("left_e8 BETWEEN 0 AND total_e8", name="voucher_left"),
    sqlite_strict=True,
)

ladder = Table(
    "ladder",
    metadata,
    _account(primary_key=True),
    Column("sku", Text, primary_key=True),
    Column("month", Text, primary_key=True),
    _number("units"),
    sqlite_strict=True,
)

accumulator = Table(
    "accumulator",
    metadata,
    _account(primary_key=True),
    Column("sku", Text, primary_key=True),
    Column("region", Text, primary_key=True),  # "-" for calls
    Column("month", Text, primary_key=True),
    Column("price", Int64, ForeignKey("price.id"), primary_key=True, autoincrement=False),
    Column("tier", Int64, primary_key=True, autoincrement=False),
    _number("quantity"),
    _number("amount_e8"),
    sqlite_strict=True,
)

settlement = Table(
    "settlement",
    metadata,
    _account(primary_key=True),
    Column("hour", Int64, primary_key=True, autoincrement=False),
    Column("rev", Int64, primary_key=True, autoincrement=False),
    _number("at"),
    _text("bill_month"),
    _text("corrects_month", optional=True),
    _number("is_late"),
    _number("amount_e8"),
    _number("voucher_e8"),
    _number("gift_e8"),
    _number("income_e8"),
    _number("cash_e8"),
    _text("reason", optional=True),  # of an operator's adjustment; it has to have one (C.4)
    Index("settlement_bill", "account", "bill_month"),
    sqlite_strict=True,
)

line = Table(
    "line",
    metadata,
    _serial("id"),
    _account(),
    _number("hour"),
    _number("rev"),
    _text("instance"),
    _text("region"),
    _text("meter"),
    _text("cover"),
    Column("price", Int64, ForeignKey("price.id"), nullable=True),
    _number("tier", optional=True),
    Column("pack", Int64, ForeignKey("pack.key"), nullable=True),
    _number("quantity"),
    _number("unit_price_e8"),
    _number("per"),
    _number("list_e8"),
    _number("amount_e8"),
    Index("line_hour", "account", "hour"),
    sqlite_strict=True,
)

orders = Table(
    "orders",
    metadata,
    _serial("id"),
    _account(),
    _number("at"),
    _text("kind"),
    _text("ref"),
    _number("list_e8"),
    _number("voucher_e8"),
    _number("gift_e8"),
    _number("income_e8"),
    _number("cash_e8"),
    Index("orders_ref", "account", "ref"),
    sqlite_strict=True,
)

# Balances are kept beside the transfers that make them up, in the same transaction; they can be summed again.
wallet = Table(
    "wallet",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account", Text, ForeignKey("account.id"), nullable=True),
    _text("bucket"),
    _text("currency"),
    _number("balance_e8"),
    Index("wallet_account", "account"),
    sqlite_strict=True,
)

transfer = Table(
    "transfer",
    metadata,
    _serial("id"),
    Column("idem", Text, nullable=False, unique=True),
    _text("journal"),
    Column("debit", Text, ForeignKey("wallet.id"), nullable=False),
    Column("credit", Text, ForeignKey("wallet.id"), nullable=False),
    _number("amount_e8"),
    _number("at"),
    CheckConstraint("amount_e8 > 0", name="transfer_amount"),
    CheckConstraint("debit <> credit", name="transfer_ends"),
    # What came in from outside, for statements; settling writes next to none of it.
    Index("transfer_in", "credit", sqlite_where=text(FROM_OUTSIDE), postgresql_where=text(FROM_OUTSIDE)),
    sqlite_strict=True,
)

transition = Table(
    "transition",
    metadata,
    _serial("id"),
    _account(),
    _number("at"),
    _text("before"),
    _text("after"),
    Index("transition_account", "account"),
    sqlite_strict=True,
)

# Notifications to be sent; never sent inside the transaction that decides on them (C.5). `sent_at`: when nothing
# was left to do for one, by the machine's own clock: every channel of its account has it, or gave it up.
outbox = Table(
    "outbox",
    metadata,
    _serial("id"),
    _account(),
    _number("at"),
    _text("kind"),
    _text("payload"),
    _number("sent_at", optional=True),
    Index("outbox_account", "account"),
    Index("outbox_unsent", "id", sqlite_where=text("sent_at IS NULL"), postgresql_where=text("sent_at IS NULL")),
    sqlite_strict=True,
)

# One notification over one channel: how often it was tried, and when next. `ended_at` without `error`: delivered.
delivery = Table(
    "delivery",
    metadata,
    Column("notification", Int64, ForeignKey("outbox.id"), primary_key=True, autoincrement=False),
    Column("channel", Text, primary_key=True),
    _number("attempts"),
    _number("next_at"),
    _number("ended_at", optional=True),
    _text("error", optional=True),
    sqlite_strict=True,
)

# Answers by Idempotency-Key: the same key gets the same answer, and nothing happens twice (C.5).
request = Table(
    "request",
    metadata,
    Column("key", Text, primary_key=True),
    _text("operation"),
    _text("fingerprint"),
    _text("answer"),
    _number("at"),
    sqlite_strict=True,
)

# One row: the hour up to which everything was settled in time; what comes for earlier hours is late.
settler = Table(
    "settler",
    metadata,
    Column("id", Int64, primary_key=True, autoincrement=False),
    _number("through_hour"),
    sqlite_strict=True,
)

# One row: the process that writes the store (owner.py). `released_at`: it ended in order, and nobody has it.
owner = Table(
    "owner",
    metadata,
    Column("id", Int64, primary_key=True, autoincrement=False),
    *(_text(name) for name in ("node", "data_id", "boot", "host")),
    *(_number(name) for name in ("pid", "since", "beat_at")),
    _number("released_at", optional=True),
    sqlite_strict=True,
)

APPEND_ONLY: Final = ("transfer", "settlement", "line", "orders", "transition", "price")


def append_only_triggers(dialect: str) -> Iterator[str]:
    """The DDL that makes the tables of APPEND_ONLY refuse UPDATE and DELETE."""
    if dialect == "postgresql":
        yield (
            "CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' is append-only'; END $$"
        )
    for table in APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            head = f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}"
            if dialect == "postgresql":
                yield f"{head} FOR EACH ROW EXECUTE FUNCTION append_only()"
            else:
                yield f"{head} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"


def create_all(connection: Connection) -> None:
    """The present schema at once, without migrations: for stores that live in memory. A test keeps both equal."""
    from metering.tables import metadata as metering_metadata

    metering_metadata.create_all(connection)
    metadata.create_all(connection)
    for statement in append_only_triggers(connection.dialect.name):
        connection.exec_driver_sql(statement)
