"""The log of changes as watches need it: read up to its end, and with tokens for its positions."""

from dataclasses import replace
from typing import Protocol

from sqlalchemy.orm import Session

from artemis_server.db.changes import log
from artemis_server.db.changes.records import Page, Position, Transaction


class Log(Protocol):
    """A log of changes."""

    def end(self, session: Session) -> Position:
        """Returns the position after the last change of the session's snapshot."""

    def read(self, session: Session, position: Position, max_rows: int) -> Page:
        """Returns what follows the position: up to the end of the log, or about so many rows.

        Two reads of one snapshot that reach the end have the same position there; on PostgreSQL that may take until
        the transactions have ended that ran when the older of the two positions was made.

        Raises:
            OutOfRange: the log no longer has what follows the position, or never had what precedes it.
        """

    def size(self, session: Session) -> int:
        """Returns about how many changes the log has."""

    def token(self, position: Position) -> str:
        """Returns the resume token of a position that is not within a transaction."""

    def position(self, token: str) -> Position:
        """Returns the position of a resume token. Raises InvalidArgument if the token is not one of this database."""


class Tokens(Protocol):
    """Turns positions into tokens and back."""

    def encode(self, position: Position) -> str:
        """Returns the token of a position."""

    def decode(self, token: str) -> Position:
        """Returns the position. Raises InvalidArgument if the token was not made by `encode`."""


class StoredLog:
    """The log in the database. `Log` describes its methods."""

    def __init__(self, tokens: Tokens) -> None:
        self.token = tokens.encode
        self.position = tokens.decode

    def end(self, session: Session) -> Position:
        """Returns the position after the last change of the session's snapshot."""
        return _settled(log.current_position(session))

    def read(self, session: Session, position: Position, max_rows: int) -> Page:
        """Returns what follows the position: up to the end of the log, or about so many rows."""
        transactions: list[Transaction] = []
        rows = 0
        while True:
            page = log.read_changes(session, position, max_rows)
            transactions += page.transactions
            rows += sum(len(each.changes) for each in page.transactions)
            position = page.position
            if page.at_end or rows >= max_rows:
                return Page(transactions=transactions, position=_settled(position), at_end=page.at_end)

    def size(self, session: Session) -> int:
        """Returns about how many changes the log has."""
        return log.size(session)


def _settled(position: Position) -> Position:
    """Returns the position without the snapshot that it began from, if all transactions of that have been passed."""
    return replace(position, seen_below=0, running=()) if position.seen_below <= position.lower else position
