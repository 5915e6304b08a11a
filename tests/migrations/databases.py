"""Databases of past revisions, frozen as SQL for each engine, and what is in a database."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, inspect

Contents = dict[str, list[dict[str, Any]]]
"""Rows, as values by column, by table."""
FROZEN = Path(__file__).parent / "frozen"
SCHEMAS = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL",
    "postgresql": """
        SELECT table_name || '.' || column_name,
               concat_ws(' ', data_type, collation_name, is_nullable, column_default, identity_generation)
        FROM information_schema.columns WHERE table_schema = 'public'
        UNION ALL SELECT indexname, indexdef FROM pg_indexes
        WHERE schemaname = 'public' AND indexname <> 'ix_events_text'
        UNION ALL SELECT conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid) FROM pg_trigger
        WHERE NOT tgisinternal
        UNION ALL SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
    """,
}
"""The names of everything in a schema, and the statements that would make it, but for PostgreSQL's index of texts.

Not every PostgreSQL can have that, and no revision depends on it.
"""


def revisions(engine: str) -> list[str]:
    """Returns the revisions that are frozen for an engine, the oldest first."""
    return sorted(path.stem for path in (FROZEN / engine).glob("*.sql"))


def thaw(engine: Engine, revision: str) -> None:
    """Makes the database that was frozen at the revision, in one that is empty."""
    script = (FROZEN / engine.dialect.name / f"{revision}.sql").read_text(encoding="utf-8")
    if engine.dialect.name == "sqlite":
        with closing(sqlite3.connect(str(engine.url.database))) as connection:
            connection.executescript(script)
        return
    with engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute(script)


def schema(engine: Engine) -> dict[str, str]:
    """Returns what makes each part of the schema, but for the table of Alembic."""
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(SCHEMAS[engine.dialect.name]).all()
    return {name: text for name, text in rows if "alembic_version" not in name}


def contents(engine: Engine) -> Contents:
    """Returns every row of every table by the names of its columns, but for the index of texts, which shows none."""
    with engine.connect() as connection:
        tables = [name for name in inspect(connection).get_table_names() if not name.startswith("event_texts")]
        return {
            table: [dict(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1").mappings()]  # noqa: S608
            for table in tables
        }
