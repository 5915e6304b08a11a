"""Which constraint a failed statement broke: the one place that reads driver errors for it."""

import enum


class Constraint(enum.Enum):
    """A kind of constraint."""

    UNIQUE = "unique"
    FOREIGN_KEY = "foreign key"
    CHECK = "check"
    OTHER = "other"


_SQLITE = {
    "SQLITE_CONSTRAINT_UNIQUE": Constraint.UNIQUE,
    "SQLITE_CONSTRAINT_FOREIGNKEY": Constraint.FOREIGN_KEY,
    "SQLITE_CONSTRAINT_CHECK": Constraint.CHECK,
}


def broken(error: Exception) -> Constraint:
    """Returns the kind of constraint that the statement broke, OTHER if it failed for another reason."""
    return _SQLITE.get(getattr(error, "sqlite_errorname", ""), Constraint.OTHER)
