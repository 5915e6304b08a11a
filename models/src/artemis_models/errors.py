"""The error for a database that cannot be used, and the option of connections that read, for both engines."""

AUTOCOMMIT = "artemis_autocommit"
"""Execution option of a connection that only reads: it begins no transaction."""


class DatabaseError(Exception):
    """A database that cannot be used as configured; its text is one line for the person who runs it."""


class ReadOnlyError(DatabaseError):
    """A PostgreSQL that cannot be written: it is a standby, or somebody made it read-only."""

    def __init__(self) -> None:
        super().__init__("the database is read-only: it is a standby, or default_transaction_read_only is on")
