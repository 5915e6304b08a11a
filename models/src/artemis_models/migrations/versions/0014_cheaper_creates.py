"""Let creates write less: no entry in the index of owners without an owner, and none in the queue of texts.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op
from artemis_models import text_index
from artemis_models.migrations import steps

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

oldest_revision = "0009"
in_transaction = False

OWNED = sa.text("owner_id IS NOT NULL")
_IS_PARTIAL = {
    "sqlite": "SELECT 1 FROM sqlite_master WHERE name = 'ix_events_owner_id' AND instr(sql, 'WHERE')",
    "postgresql": "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('ix_events_owner_id') AND indpred IS NOT NULL",
}


def upgrade() -> None:
    """Make the index of owners anew; let the index of texts on SQLite know new events by their ids."""
    context = op.get_context()
    dialect = context.dialect.name
    if context.as_sql or op.get_bind().execute(sa.text(_IS_PARTIAL[dialect])).scalar() is None:
        steps.drop_index("ix_events_owner_id", "events")
    steps.create_index("ix_events_owner_id", "events", ["owner_id", "id"], sqlite_where=OWNED, postgresql_where=OWNED)
    if dialect == "sqlite" and not context.as_sql:
        text_index.convert_on_sqlite(op.get_bind())
