"""The log of changes as watches need it, page by page. The storage of changes implements it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy.orm import Session

from artemis_server.db.statements import Row

Position = Any
"""A place in the log, as the log itself writes and compares it."""


class Change(Protocol):
    """A change of an event."""

    @property
    def kind(self) -> int:
        """The kind (artemis.v1.EventChange.Type)."""

    @property
    def time(self) -> int:
        """The time, in microseconds since 1970."""

    @property
    def principal(self) -> str:
        """Who made it."""

    @property
    def state(self) -> Row:
        """The event after the change; for a delete, before it."""

    @property
    def previous(self) -> Row | None:
        """The event before an update."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Changes of one transaction: all of them, or as many as follow the last part and have room in a page."""

    changes: Sequence[Change]
    position: Position
    """The place after them."""
    complete: bool
    """True if the transaction ends with them."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A part of the log."""

    parts: Sequence[Part]
    position: Position
    """The place after it, which may be a later one than that of the last part."""
    at_end: bool
    """True if nothing follows in the snapshot that the page was read from."""


class Log(Protocol):
    """Reads the log."""

    def end(self, session: Session) -> Position:
        """Returns the place after the last change of the session's snapshot."""

    def check(self, session: Session, position: Position) -> None:
        """Raises OutOfRange if the log no longer has what follows the position, or never had what precedes it."""

    def read(self, session: Session, position: Position, max_rows: int) -> Page:
        """Returns what follows the position, in about so many rows at most."""

    def size(self, session: Session) -> int:
        """Returns about how many changes the log has."""

    def token(self, position: Position) -> str:
        """Returns the resume token of a position."""

    def position(self, token: str) -> Position:
        """Returns the position of a resume token. Raises InvalidArgument if the token is not one of this database."""
