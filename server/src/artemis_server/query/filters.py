"""Filters (AIP-160): from text to a typed tree.

    category = "python" start_time >= 2026-11-24

becomes And((Matches("category", "python", ...), Compare("start_time", Operator.GE, 1795478400000000))).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial

from google.protobuf.descriptor import Descriptor
from lark import Token, Transformer, v_args

from artemis_server.query.fields import Field, Kind, Value, contains, fields_of, restriction
from artemis_server.query.parsing import Language, Mistake
from artemis_server.query.tree import ALWAYS, And, Matches, Node, Not, Or

MAX_RESTRICTIONS = 50
"""The most restrictions and words: parsing and compiling one takes up to 0.1 ms."""
MAX_GROUPS = 50
"""The most pairs of parentheses: parsing one takes as long as a restriction."""
MAX_LEVELS = 10
"""The most parentheses within each other: at 13, SQLite's own parser can fail."""
MAX_SEARCHES = 30
"""The most texts to search in for each row; a word is searched for in several fields."""
MAX_SEARCHED = 100
"""The most characters of a text to search for: neither engine's search is linear in its length (docs/adr/0022)."""
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_KEYWORDS = {"and", "or", "not"}
_ENDS_FACTOR = {"NAME", "VALUE", "STRING", "RPAR"}
_BEGINS_FACTOR = {"NAME", "STRING", "LPAR", "MINUS", "NOT"}


class _TokenRules:
    """Checks each token as it is read, so that a filter that is too deep or too long is not read to its end.

    It also refuses the parts of AIP-160 and of SQL that these filters do not have, and says what to write instead:
    `lower("a")` is a function, `category = (a OR b)` and `category = a, b` are lists of values, `"category" = a` is a
    quoted field, `"Py""Con"` two factors without a blank between them; and `category IN (a)` and `location IS NULL`
    are SQL.
    """

    always_accept = ("LPAR", "COMPARATOR", "COMMA")

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self._fields = fields

    def process(self, tokens: Iterator[Token]) -> Iterator[Token]:
        """Yields the tokens. Raises Mistake at the one that breaks a rule."""
        levels = groups = restrictions = 0
        first = second = Token("START", "", end_pos=-1)
        for third in tokens:
            levels += {"LPAR": 1, "RPAR": -1}.get(third.type, 0)
            groups += third.type == "LPAR"
            restrictions += third.type in ("NAME", "STRING") and second.type != "COMPARATOR"
            for count, limit, name in (
                (levels, MAX_LEVELS, "levels of parentheses"),
                (groups, MAX_GROUPS, "pairs of parentheses"),
                (restrictions, MAX_RESTRICTIONS, "restrictions"),
            ):
                if count > limit:
                    raise Mistake(_position(third), f"there are more than {limit} {name}", limit=limit)
            if second.type == "STRING" and third.type == "COMPARATOR" and first.type != "COMPARATOR":
                raise self._quoted(second, third)
            _refuse_unsupported(first, second, third)
            first, second = second, third
            yield third

    def _quoted(self, quoted: Token, operator: Token) -> Mistake:
        name = quoted[1:-1]
        if name not in self._fields:
            return Mistake(_position(quoted), f"a field has no quotes, and {_no_field(name, self._fields)}", name=name)
        advice = f"a field has no quotes: write {name} {operator} and a value"
        return Mistake(_position(quoted), advice, name=name, operator=operator)


def _no_field(name: str, fields: Iterable[str]) -> str:
    return f'there is no field "{name}"; the fields are {", ".join(fields)}'


def _refuse_unsupported(first: Token, second: Token, third: Token) -> None:
    """Raises Mistake if these three tokens in a row are something that filters do not have, such as a function."""
    touching = second.end_pos == third.start_pos
    match second.type, third.type:
        case "COMPARATOR", "LPAR":
            raise Mistake(
                _position(third),
                f"write ({first} {second} a OR {first} {second} b) for several values",
                name=first,
                operator=second,
            )
        case "NAME", "LPAR" if first.type == "NAME" and second == "IN":
            advice = f"write ({first} = a OR {first} = b) for several values"
            raise Mistake(_position(second), f"there is no IN: {advice}", name=first)
        case "NAME", "NAME" | "NOT" if first.type == "NAME" and second == "IS" and third in ("NULL", "NOT"):
            advice = f"write NOT {first}:* for a field without a value, {first}:* for one with a value"
            raise Mistake(_position(second), f"there is no IS {third}: {advice}", name=first)
        case _, "COMMA":
            advice = "write (field = a OR field = b), or put quotes around text that has a comma"
            raise Mistake(_position(third), f"a comma makes no list of values: {advice}")
        case "NAME" | "VALUE", "LPAR" if touching:
            raise Mistake(_position(second), f"there is no function {second}; filters have no functions", name=second)
        case before, after if touching and before in _ENDS_FACTOR and after in _BEGINS_FACTOR:
            raise Mistake(_position(third), f"expected a blank, AND or OR before {third}", found=third)


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
)


@cache  # to make a parser takes 20 ms
def filter_parser(descriptor: "Descriptor", searched_fields: tuple[str, ...]) -> Callable[[str], Node]:
    """Returns a function that turns a filter for messages of this type into a tree.

    The filter searches `searched_fields`, which are text fields, for a bare word.

    Raises:
        InvalidArgument: raised by the function; it names the position and the tokens that could stand there.
    """
    fields = fields_of(descriptor)
    return _LANGUAGE.parser(_Builder(fields, searched_fields), _TokenRules(fields))


@v_args(inline=True)
class _Builder(Transformer[Token, Node]):
    """Builds the tree from the bottom up. Each method has the name of a rule in filter.lark, and gets its parts."""

    def __init__(self, fields: dict[str, Field], searched_fields: tuple[str, ...]) -> None:
        super().__init__()
        self._fields = fields
        self._searched_fields = searched_fields

    def start(self, node: Node = ALWAYS) -> Node:
        """The whole filter; an empty one matches everything."""
        count = _searches(node)
        if count > MAX_SEARCHES:
            text = f"there are {count} searches in text and at most {MAX_SEARCHES} allowed; a word is one in each of "
            raise Mistake(0, text + ", ".join(self._searched_fields), limit=MAX_SEARCHES, count=count)
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
            raise Mistake(_position(name), _no_field(name, self._fields), name=name)
        if value.type == "VALUE" and value.lower() == "null":
            raise Mistake(_position(value), _null_advice(field), name=field.name)
        try:
            return _searchable(restriction(field, str(operator), _value(value)), value)
        except ValueError as error:
            raise Mistake(_position(value), f"{name} {operator} needs {error}", name=name, operator=operator) from None

    def value(self, token: Token) -> Token:
        """A value, with or without quotes."""
        return token

    def word(self, token: Token) -> Node:
        """A word or a quoted text by itself."""
        if token.lower() in _KEYWORDS:  # "a and b" would look for the word "and"
            meant = "joins terms" if token.isupper() else f"is written {token.upper()} to join terms"
            raise Mistake(_position(token), f"{token} {meant}; as a word it needs quotes", found=token)
        value = _value(token)
        return Or(tuple(_searchable(contains(name, value), token) for name in self._searched_fields))


def _searchable(node: Node, token: Token) -> Node:
    """Returns the node. Raises Mistake if it searches for a text that is too long."""
    match node.term if isinstance(node, Not) else node:
        case Matches(text=text, open_start=True, open_end=True) if len(text) > MAX_SEARCHED:
            length = len(text)
            advice = f"the text to search for has {length} characters and at most {MAX_SEARCHED} are allowed"
            raise Mistake(_position(token), advice, limit=MAX_SEARCHED, count=length)
    return node


def _searches(node: Node) -> int:
    match node:
        case And(terms) | Or(terms):
            return sum(map(_searches, terms))
        case Not(term):
            return _searches(term)
        case Matches(open_start=True):
            return 1
    return 0


def _null_advice(field: Field) -> str:
    """Returns what to write instead of null, which AIP-160 does not define."""
    if field.kind is Kind.TEXT:
        return f'null is no value: for an empty text write NOT {field.name}:*, for the word write {field.name} = "null"'
    if field.nullable:
        return f"null is no value: for an unset field write NOT {field.name}:*, for a set one {field.name}:*"
    return f"null is no value: {field.name} is always set"


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
            raise Mistake(place, f'a backslash stands before \\, ", \' or *, not before "{match[1]}"', found=match[1])
        return match[1]

    return _ESCAPE.sub(character, text)


def _position(token: Token) -> int:
    return token.start_pos or 0
