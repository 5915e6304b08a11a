"""Count the version of a row up whoever changes it.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = ("users", "events")


def upgrade() -> None:
    """Create the triggers."""
    if op.get_context().dialect.name == "sqlite":
        for table in TABLES:
            op.execute(
                f"CREATE TRIGGER {table}_version AFTER UPDATE ON {table} WHEN NEW.version = OLD.version BEGIN\n"
                f"  UPDATE {table} SET version = OLD.version + 1 WHERE id = NEW.id;\n"
                "END"
            )
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION artemis_next_version() RETURNS trigger LANGUAGE plpgsql AS $$\n"
        "BEGIN\n  NEW.version := OLD.version + 1;\n  RETURN NEW;\nEND $$"
    )
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_version BEFORE UPDATE ON {table} FOR EACH ROW "
            "WHEN (NEW.version = OLD.version)\nEXECUTE FUNCTION artemis_next_version()"
        )
