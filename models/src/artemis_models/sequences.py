"""PostgreSQL's sequences, which number new rows. A restore by hand may leave one behind its table.

SQLite numbers new rows after the largest id that a table has or had.
"""

from sqlalchemy import Connection, Engine, text

from artemis_models.errors import AUTOCOMMIT, DatabaseError
from artemis_models.tables import Base

NUMBERED = tuple(table.name for table in Base.metadata.sorted_tables if table.autoincrement_column is not None)
"""The tables whose ids come from a sequence."""


def sequence_repair(table: str) -> str:
    """Returns the statement that moves a table's sequence behind its last id."""
    return f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"  # noqa: S608, ours


def check_sequences(engine: Engine) -> None:
    """Raises DatabaseError if the next id of a table may be taken; its text has the statement that mends it."""
    if engine.dialect.name != "postgresql":
        return
    with engine.execution_options(**{AUTOCOMMIT: True}).connect() as connection:
        behind = [table for table in NUMBERED if _next_id(connection, table) <= _last_id(connection, table)]
    if behind:
        raise DatabaseError(
            f"new rows of {' and '.join(behind)} would get ids that are taken, because sequences are behind: execute "
            + "; ".join(map(sequence_repair, behind))
        )


def _last_id(connection: Connection, table: str) -> int:
    return connection.scalar(text(f"SELECT max(id) FROM {table}")) or 0  # noqa: S608, one of ours


def _next_id(connection: Connection, table: str) -> int:
    """Returns the id that a table's sequence gives next. Who may use it but not read it learns only the last one."""
    sequence = connection.scalar(text("SELECT pg_get_serial_sequence(:name, 'id')"), {"name": table})
    if sequence is None:
        raise DatabaseError(f"no sequence numbers the rows of table {table}: restore the schema from a backup")
    if connection.scalar(text("SELECT has_sequence_privilege(:name, 'SELECT')"), {"name": sequence}):
        statement = f"SELECT last_value + is_called::int FROM {sequence}"  # noqa: S608, as PostgreSQL quotes it
        return int(connection.scalar(text(statement)))
    return 1 + (connection.scalar(text("SELECT pg_sequence_last_value(:name)"), {"name": sequence}) or 0)
