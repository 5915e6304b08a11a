"""Log every change of an event, whoever makes it.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op
from artemis_models import change_log
from artemis_models.migrations import steps

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

oldest_revision = "0009"

BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
COLUMNS = (
    "id name description category location publisher start_time end_time owner_id source external_id "
    "create_time update_time version"
)


def upgrade() -> None:
    """Create the log, and the triggers that write it."""
    op.create_table(
        "event_changes",
        sa.Column("id", BIG_INT, autoincrement=True, nullable=False),
        sa.Column("event_id", BIG_INT, nullable=False),
        sa.Column("type", sa.Integer(), nullable=False),
        sa.Column("time", BIG_INT, nullable=False),
        sa.Column("principal", TEXT, server_default="", nullable=False),
        sa.Column("transaction_id", BIG_INT, server_default=sa.text("0"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_changes")),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index("ix_event_changes_event_id", "event_changes", ["event_id", "id"])
    op.create_table(
        "change_context",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("transaction_id", BIG_INT, server_default=sa.text("0"), nullable=False),
        sa.Column("principal", TEXT, server_default="", nullable=False),
        sa.Column("replaced_after", BIG_INT, nullable=True),
        sa.Column("replaced_id", BIG_INT, nullable=True),
        sa.Column("replaced", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change_context")),
        sqlite_strict=True,
    )
    op.execute(change_log.CONTEXT_ROW)
    if op.get_context().dialect.name == "sqlite":
        op.execute("DROP TRIGGER events_version")
        steps.log_event_columns(COLUMNS)
    else:
        op.create_index("ix_event_changes_transaction_id", "event_changes", ["transaction_id", "id"])
        op.execute(change_log.POSTGRESQL_FUNCTION)
        for statement in (change_log.POSTGRESQL_SEARCH_PATH, *change_log.POSTGRESQL_TRIGGERS):
            op.execute(statement)
    op.execute(change_log.FIRST_CHANGE[op.get_context().dialect.name])
