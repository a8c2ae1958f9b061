"""What is metered, as tables (RULES C.2). Hours are epoch seconds / 3600."""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text

metadata = MetaData()
# SQLite knows one integer, and STRICT accepts no other name for it.
_Int64 = BigInteger().with_variant(Integer, "sqlite")

counter = Table(
    "counter",
    metadata,
    Column("writer", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("instance", Text, primary_key=True),
    Column("region", Text, primary_key=True),
    Column("service", Text, primary_key=True),
    Column("meter", Text, primary_key=True),
    Column("hour", _Int64, primary_key=True, autoincrement=False),
    Column("value", _Int64, nullable=False),
    Index("counter_by_account_hour", "account", "hour"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""Absolute and monotone for each writer: written twice, it says the same."""

dirty = Table(
    "dirty",
    metadata,
    Column("account", Text, primary_key=True),
    Column("hour", _Int64, primary_key=True, autoincrement=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""Hours whose counters grew since they were last settled."""

seal = Table(
    "seal",
    metadata,
    Column("writer", Text, primary_key=True),
    Column("through_hour", _Int64, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""Writers that will add nothing more to hours up to this one."""

seen = Table(
    "seen",
    metadata,
    Column("source", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("hour", _Int64, nullable=False),
    Column("digest", Text, nullable=False),
    Index("seen_by_hour", "hour"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""Events that were counted (RULES C.3), until their hour is too old for a repeat. Digest: SHA-256 in hex."""
