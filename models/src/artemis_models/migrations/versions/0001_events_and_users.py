"""Create users, events and secrets.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
RANDOM_BYTES = {
    "sqlite": "randomblob(32)",
    "postgresql": "decode(replace(concat(gen_random_uuid(), gen_random_uuid()), '-', ''), 'hex')",
}


def upgrade() -> None:
    """Create the tables."""
    _create_users()
    _create_events()
    _create_secrets()


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", BIG_INT, autoincrement=True, nullable=False),
        sa.Column("email", TEXT, nullable=False),
        sa.Column("first_name", TEXT, server_default="", nullable=False),
        sa.Column("last_name", TEXT, server_default="", nullable=False),
        sa.Column("source", TEXT, server_default="", nullable=False),
        sa.Column("external_id", TEXT, server_default="", nullable=False),
        sa.Column("create_time", BIG_INT, nullable=False),
        sa.Column("update_time", BIG_INT, nullable=False),
        sa.Column("version", BIG_INT, server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index("ux_users_email", "users", [sa.func.lower(sa.column("email"))], unique=True)


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", BIG_INT, autoincrement=True, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("description", TEXT, server_default="", nullable=False),
        sa.Column("category", TEXT, server_default="", nullable=False),
        sa.Column("location", TEXT, server_default="", nullable=False),
        sa.Column("publisher", TEXT, server_default="", nullable=False),
        sa.Column("start_time", BIG_INT, nullable=False),
        sa.Column("end_time", BIG_INT, nullable=False),
        sa.Column("owner_id", BIG_INT, nullable=True),
        sa.Column("source", TEXT, server_default="", nullable=False),
        sa.Column("external_id", TEXT, server_default="", nullable=False),
        sa.Column("create_time", BIG_INT, nullable=False),
        sa.Column("update_time", BIG_INT, nullable=False),
        sa.Column("version", BIG_INT, server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("end_time >= start_time", name=op.f("ck_events_end_time")),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_events_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index("ix_events_owner_id", "events", ["owner_id"])


def _create_secrets() -> None:
    """Creates the table, and in it the key that page tokens are signed with."""
    op.create_table(
        "secrets",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_secrets")),
        sqlite_strict=True,
    )
    random_bytes = RANDOM_BYTES[op.get_context().dialect.name]
    op.execute(f"INSERT INTO secrets (name, value) VALUES ('page_token', {random_bytes})")
