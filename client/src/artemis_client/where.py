"""Filters with values that cannot break out of their place. docs/filters.md describes the language."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import LiteralString

from artemis_client.fields import check_integer, check_text, utc_text

_PARTS = (
    re.compile(  # as the server's grammar divides a filter: outside of quotes, a backslash is an ordinary character
        r"""
      (?P<quoted> "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' )
    | (?P<brace> \{\{ | \}\} )
    | (?P<open_start>\*?) \{ (?P<placeholder>[^{}]*) \} (?P<open_end>\*?)
    | ["'{}]
    """,
        re.DOTALL | re.VERBOSE,
    )
)
_SEPARATE_BEFORE = re.compile(r"(?:^|[\s(]|(?P<operator>[=<>:]\s*))$")
_SEPARATE_AFTER = re.compile(r"$|[\s)]")
_SPECIAL = re.compile(r'[\\"*]')
_SEVERAL = "write (field = {} OR field = {}) for several values"
_ADVICE = {type(None): "for an unset field write NOT field:*", list: _SEVERAL, tuple: _SEVERAL, set: _SEVERAL}


def where(template: LiteralString, *values: str | int | datetime, **named: str | int | datetime) -> str:
    r"""Returns the filter with values in the places of `{}`, in their order, and of `{name}`, by name.

        where('name = {} AND start_time > {since}', 'The "open" day', since=datetime(2030, 5, 4, tzinfo=timezone.utc))

    is `name = "The \"open\" day" AND start_time > "2030-05-04T00:00:00Z"`. A value stays one value, whatever it
    contains: a text is quoted, and a `*` in it is an ordinary character. A wildcard is written beside the placeholder:
    `name = {}*` matches the names that begin with the text. Times are written in UTC. `{{` and `}}` are braces.

    The template is a literal, as its type says: a filter that is put together in another way is not safe.

    Raises:
        TypeError: a value is neither a text nor an integer nor a datetime. The language has no lists, bools or null.
        ValueError: a datetime has no time zone; a text has U+0000 or half of a surrogate pair, which no stored text
            has; an integer has more than 64 bits; or the template is wrong: its placeholders are not those of the
            values, or one of them is inside quotes, or not separate from other text.
    """
    parts, end, order = [], 0, iter(values)
    unused = set(named)
    for found in _PARTS.finditer(template):
        parts.append(template[end : found.start()])
        end = found.end()
        name = found["placeholder"]
        if name is None:
            parts.append(_text_of(found, template))
        else:
            unused.discard(name)
            parts.append(_written(found, template, _value_of(name, order, named)))
    if unused or next(order, None) is not None:
        raise ValueError(f"the filter has fewer placeholders than there are values: {template}")
    return "".join((*parts, template[end:]))


def _text_of(found: re.Match[str], template: str) -> str:
    """Returns what a part of the template that is no placeholder stands for."""
    text = found[0]
    inner = re.sub(r"\{\{|\}\}", "", text)
    if found["quoted"] and ("{" in inner or "}" in inner):
        raise ValueError(f"a placeholder stands without quotes, because the value gets its own: {template}")
    if not found["quoted"] and not found["brace"]:
        problem = f"{text} is not closed" if text in "\"'{" else "} is not opened"
        raise ValueError(f"at index {found.start()} of the filter, {problem}: {template}")
    return text.replace("{{", "{").replace("}}", "}")


def _value_of(name: str, order: "Iterator[object]", named: "Mapping[str, object]") -> object:
    if name:
        if name not in named:
            raise ValueError(f"the filter has the placeholder {{{name}}}, and there is no value of this name")
        return named[name]
    for value in order:
        return value
    raise ValueError("the filter has more placeholders than there are values")


def _written(found: re.Match[str], template: str, value: object) -> str:
    """Returns the value of a placeholder as the language writes it."""
    place = f"the value of {found[0]} at index {found.start()} of the filter"
    before = _SEPARATE_BEFORE.search(template[: found.start()])
    if before is None or not _SEPARATE_AFTER.match(template, found.end()):
        raise ValueError(f"{place} must be separate from other text, but for a * on either side: {template}")
    open_start, open_end = found["open_start"], found["open_end"]
    if isinstance(value, str):
        check_text(place, value)
        if "\0" in value:
            raise ValueError(f"{place} has U+0000, which no stored text has")
        return f'"{open_start}{_SPECIAL.sub(_escaped, str.__str__(value))}{open_end}"'
    if open_start or open_end or not before["operator"]:
        raise TypeError(f"{place} must be a str, because it is a word or has a *, not {type(value).__name__}")
    if isinstance(value, datetime):
        return f'"{utc_text(place, value)}"'
    if isinstance(value, int) and not isinstance(value, bool):
        check_integer(place, value)
        return int.__repr__(value)
    advice = _ADVICE.get(type(value), "convert it first")
    raise TypeError(f"{place} must be a str, an int or a datetime, not {type(value).__name__}; {advice}")


def _escaped(character: re.Match[str]) -> str:
    return f"\\{character[0]}"
