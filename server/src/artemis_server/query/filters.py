"""Filters (AIP-160): from text to a typed tree.

    category = "python" start_time >= 2026-11-24

becomes And((Matches("category", "python", ...), Compare("start_time", Operator.GE, 1795478400000000))).
"""

import re
from collections.abc import Callable, Iterator
from functools import partial

from google.protobuf.descriptor import Descriptor
from lark import Token, Transformer, v_args

from artemis_server.query.fields import Field, Value, contains, fields_of, restriction
from artemis_server.query.parsing import Language, Mistake
from artemis_server.query.tree import ALWAYS, And, Node, Not, Or

MAX_RESTRICTIONS = 200
MAX_LEVELS = 10  # of parentheses: at 13, SQLite's own parser can fail
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_KEYWORDS = {"and", "or", "not"}


class _Limits:
    """Stops reading a filter at the first token beyond the limits."""

    always_accept = ()

    def process(self, tokens: Iterator[Token]) -> Iterator[Token]:
        """Yields the tokens. Raises Mistake at the one that passes a limit."""
        levels = restrictions = 0
        before = ""
        for token in tokens:
            levels += {"LPAR": 1, "RPAR": -1}.get(token.type, 0)
            restrictions += token.type in ("NAME", "STRING") and before != "COMPARATOR"
            if levels > MAX_LEVELS:
                raise Mistake(_position(token), f"there are more than {MAX_LEVELS} levels of parentheses")
            if restrictions > MAX_RESTRICTIONS:
                raise Mistake(_position(token), f"there are more than {MAX_RESTRICTIONS} restrictions")
            before = token.type
            yield token


_LANGUAGE = Language(
    "filter.lark",
    "filter",
    {
        "AND": "AND",
        "OR": "OR",
        "NOT": "NOT",
        "MINUS": "-",
        "LPAR": "(",
        "RPAR": ")",
        "COMPARATOR": "one of = != < <= > >= :",
        "NAME": "a field or a word",
        "STRING": "text in quotes",
        "VALUE": "a value",
    },
    _Limits(),
)


def filter_parser(descriptor: "Descriptor", searched_fields: tuple[str, ...]) -> Callable[[str], Node]:
    """Returns a function that turns a filter for messages of this type into a tree.

    The filter searches `searched_fields`, which are text fields, for a bare word.

    Raises:
        InvalidArgument: raised by the function; it names the position and the tokens that could stand there.
    """
    return _LANGUAGE.parser(_Builder(fields_of(descriptor), searched_fields))


@v_args(inline=True)
class _Builder(Transformer[Token, Node]):
    """Builds the tree from the bottom up. Each method has the name of a rule in filter.lark, and gets its parts."""

    def __init__(self, fields: dict[str, Field], searched_fields: tuple[str, ...]) -> None:
        super().__init__()
        self._fields = fields
        self._searched_fields = searched_fields

    def start(self, node: Node = ALWAYS) -> Node:
        """The whole filter; an empty one matches everything."""
        return node

    def expression(self, *parts: Node | Token) -> Node:
        """Factors, with or without AND between them."""
        return _join(And, parts)

    def factor(self, *parts: Node | Token) -> Node:
        """Terms with OR between them."""
        return _join(Or, parts)

    def negation(self, _: Token, node: Node) -> Node:
        """NOT or - before a term."""
        return Not(node)

    def composite(self, _: Token, node: Node, __: Token) -> Node:
        """An expression in parentheses."""
        return node

    def restriction(self, name: Token, operator: Token, value: Token) -> Node:
        """A field, an operator and a value."""
        field = self._fields.get(name)
        if field is None:
            names = ", ".join(self._fields)
            raise Mistake(_position(name), f'there is no field "{name}"; the fields are {names}')
        try:
            return restriction(field, str(operator), _value(value))
        except ValueError as error:
            raise Mistake(_position(value), f"{name} {operator} needs {error}") from None

    def value(self, token: Token) -> Token:
        """A value, with or without quotes."""
        return token

    def word(self, token: Token) -> Node:
        """A word or a quoted text by itself."""
        if token.lower() in _KEYWORDS:  # "a and b" would look for the word "and"
            meant = "joins terms" if token.isupper() else f"is written {token.upper()} to join terms"
            raise Mistake(_position(token), f"{token} {meant}; as a word it needs quotes")
        value = _value(token)
        return Or(tuple(contains(name, value) for name in self._searched_fields))


def _join(kind: type[And] | type[Or], parts: tuple[Node | Token, ...]) -> Node:
    nodes = tuple(part for part in parts if not isinstance(part, Token))
    return nodes[0] if len(nodes) == 1 else kind(nodes)


def _value(token: Token) -> Value:
    """Returns the value of a token: `"py*"` is the text `py` with an open end.

    Raises:
        Mistake: a backslash stands before a character that needs none.
    """
    quoted = token.type == "STRING"
    raw = token[1:-1] if quoted else str(token)
    if "\0" in raw:
        raise Mistake(_position(token), "no text has U+0000")
    open_start = raw.startswith("*")
    open_end = raw.endswith("*") and not (quoted and _escaped(raw))
    inner = raw[open_start : len(raw) - open_end]
    read = partial(_unescape, token=token) if quoted else str
    return Value(read(raw), read(inner), quoted, open_start, open_end)


def _escaped(text: str) -> bool:
    """Tells whether the last character has an odd number of backslashes before it."""
    before = text[:-1]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _unescape(text: str, token: Token) -> str:
    def character(match: re.Match[str]) -> str:
        if match[1] not in "\\\"'*":
            place = _position(token) + token.find(match[0])
            raise Mistake(place, f'a backslash stands before \\, ", \' or *, not before "{match[1]}"')
        return match[1]

    return _ESCAPE.sub(character, text)


def _position(token: Token) -> int:
    return token.start_pos or 0
