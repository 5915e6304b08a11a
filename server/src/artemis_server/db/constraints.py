"""Which constraint a failed statement broke: the one place that reads driver errors for it."""

import enum


class Constraint(enum.Enum):
    """A kind of constraint."""

    UNIQUE = "unique"
    FOREIGN_KEY = "foreign key"
    CHECK = "check"
    OTHER = "other"


_CONSTRAINTS = {
    "SQLITE_CONSTRAINT_UNIQUE": Constraint.UNIQUE,
    "SQLITE_CONSTRAINT_FOREIGNKEY": Constraint.FOREIGN_KEY,
    "SQLITE_CONSTRAINT_CHECK": Constraint.CHECK,
    "23505": Constraint.UNIQUE,  # PostgreSQL, "Error Codes"
    "23503": Constraint.FOREIGN_KEY,
    "23514": Constraint.CHECK,
}


def broken(error: Exception) -> Constraint:
    """Returns the kind of constraint that the statement broke, OTHER if it failed for another reason."""
    cause = getattr(error, "orig", None) or error
    name = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
    return _CONSTRAINTS.get(name or "", Constraint.OTHER)
