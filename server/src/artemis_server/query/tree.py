"""The tree of a filter. Its logic has two truth values: an unset field fails every comparison but `!=`."""

import enum
from dataclasses import dataclass
from typing import TypeAlias


class Operator(enum.Enum):
    """A comparison."""

    EQ = "="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


@dataclass(frozen=True)
class And:
    """All of the terms hold. And(()) always holds."""

    terms: "tuple[Node, ...]"


@dataclass(frozen=True)
class Or:
    """At least one of the terms holds. Or(()) never holds."""

    terms: "tuple[Node, ...]"


@dataclass(frozen=True)
class Not:
    """The term does not hold."""

    term: "Node"


@dataclass(frozen=True)
class Compare:
    """The field is set and compares to a value; times are in microseconds since the Unix epoch."""

    field: str
    operator: Operator
    value: int | str


@dataclass(frozen=True)
class Matches:
    """The text of the field matches a pattern: `text`, with any text before it (open_start) and after it (open_end)."""

    field: str
    text: str
    open_start: bool
    open_end: bool


@dataclass(frozen=True)
class Present:
    """The field is set and, if it is text, not empty."""

    field: str


@dataclass(frozen=True)
class HasEtag:
    """The etag of the row is this one."""

    etag: str


Node: TypeAlias = And | Or | Not | Compare | Matches | Present | HasEtag

ALWAYS = And(())
NEVER = Or(())


def fields(node: Node) -> frozenset[str]:
    """Returns the names of the fields that a tree looks at."""
    match node:
        case And(terms) | Or(terms):
            return frozenset().union(*map(fields, terms))
        case Not(term):
            return fields(term)
        case HasEtag():
            return frozenset({"etag"})
    return frozenset({node.field})


def searches_text(node: Node) -> bool:
    """Tells whether a tree looks for texts anywhere in others: how many rows have one depends on the text."""
    match node:
        case And(terms) | Or(terms):
            return any(map(searches_text, terms))
        case Not(term):
            return searches_text(term)
        case Matches(open_start=True):
            return True
    return False
