"""Index the texts of events beside the tables.

Revision ID: 0013
Revises: 0012
"""

from alembic import op
from artemis_models import text_index

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

oldest_revision = "0009"


def upgrade() -> None:
    """Make the index without an event, which takes a moment: the server adds them.

    `artemis_models.text_index` makes the index of PostgreSQL, which may be made later.
    """
    context = op.get_context()
    if context.dialect.name == "postgresql":
        return
    if context.as_sql:
        for statement in text_index.SQLITE:
            op.execute(statement)
        return
    text_index.make_on_sqlite(op.get_bind())
