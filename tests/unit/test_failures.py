"""The errors that a caller gets from a failing database."""

import sqlite3

import pytest
from artemis_server.db.connection.driver_errors import Constraint, broken_constraint, translate
from artemis_server.errors import ResourceExhausted, ServerError, Unavailable
from sqlalchemy.exc import OperationalError


def failing(name: str) -> sqlite3.Error:
    error = sqlite3.OperationalError("near secret: /var/lib/artemis.db")
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("SQLITE_FULL", ResourceExhausted, "STORAGE_FULL"),
        ("SQLITE_BUSY", Unavailable, "DATABASE_BUSY"),
        ("SQLITE_BUSY_SNAPSHOT", Unavailable, "DATABASE_BUSY"),
        ("SQLITE_LOCKED", Unavailable, "DATABASE_BUSY"),
        ("SQLITE_LOCKED_SHAREDCACHE", Unavailable, "DATABASE_BUSY"),
        ("SQLITE_IOERR_FSYNC", Unavailable, "DATABASE_UNAVAILABLE"),
        ("SQLITE_INTERRUPT", Unavailable, "STATEMENT_CANCELLED"),
        ("SQLITE_CONSTRAINT_PRIMARYKEY", Unavailable, "DATABASE_INCONSISTENT"),
        ("SQLITE_CANTOPEN", Unavailable, "DATABASE_UNAVAILABLE"),
        ("SQLITE_CORRUPT_INDEX", Unavailable, "DATABASE_UNAVAILABLE"),
        ("SQLITE_NOTADB", Unavailable, "DATABASE_UNAVAILABLE"),
        ("SQLITE_READONLY_DIRECTORY", Unavailable, "DATABASE_UNAVAILABLE"),
    ],
)
def test_a_failing_database_is_told_without_the_drivers_words(name: str, kind: type[ServerError], reason: str) -> None:
    error = failing(name)
    for each in (error, OperationalError("SELECT secret", None, error)):
        translated = translate(each)
        assert isinstance(translated, kind)
        assert reason == translated.reason
        assert "secret" not in translated.message
        assert "/var" not in translated.message


@pytest.mark.parametrize("text", ["no such table: events", "no such column: name", "table events has no column x"])
def test_a_statement_that_does_not_fit_the_schema_is_told_as_that(text: str) -> None:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorname = "SQLITE_ERROR"
    translated = translate(error)
    assert isinstance(translated, Unavailable)
    assert translated.reason == "SCHEMA_MISMATCH"
    assert "events" not in translated.message


@pytest.mark.parametrize(
    "error", [ValueError("x"), failing("SQLITE_MISUSE"), failing("SQLITE_ERROR"), sqlite3.ProgrammingError("x")]
)
def test_an_error_that_is_not_the_databases_stays_what_it_is(error: Exception) -> None:
    assert error is translate(error)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SQLITE_CONSTRAINT_UNIQUE", Constraint.UNIQUE),
        ("SQLITE_CONSTRAINT_PRIMARYKEY", Constraint.PRIMARY_KEY),
        ("SQLITE_CONSTRAINT_FOREIGNKEY", Constraint.FOREIGN_KEY),
        ("SQLITE_CONSTRAINT_CHECK", Constraint.CHECK),
        ("SQLITE_CONSTRAINT_NOTNULL", Constraint.OTHER),
        ("SQLITE_BUSY", Constraint.OTHER),
    ],
)
def test_a_broken_constraint_is_known_by_its_kind(name: str, expected: Constraint) -> None:
    assert expected is broken_constraint(failing(name))


def test_an_error_of_another_kind_broke_no_constraint() -> None:
    assert broken_constraint(ValueError()) is Constraint.OTHER
