"""Regular expressions of the configuration, run by RE2: its time is linear in the text, whatever a feed sends.

The standard library's `re` needs exponential time for `(a+)+$` on a text such as "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab".
RE2 has neither look-around nor back references, and comes with the extra `regex` (docs/adr/0047).
"""

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol, cast

MAX_PATTERN = 1000
"""Characters."""
_GROUP = re.compile(r"\\([0-9])")


class InvalidPattern(ValueError):
    """The regular expression cannot be used; the text tells why."""


class Match(Protocol):
    """A match, as of the module re."""

    def group(self, index: int, /) -> str | None:
        """Returns the text of a group, or of the whole match for 0."""


class Pattern(Protocol):
    """A compiled regular expression."""

    @property
    def groups(self) -> int:
        """The number of groups."""

    def search(self, text: str, /) -> Match | None:
        """Returns the first match."""

    def sub(self, replace: Callable[[Match], str], text: str, /) -> str:
        """Returns the text with each match replaced."""


def compile_pattern(text: str) -> Pattern:
    """Returns the compiled expression.

    Raises:
        InvalidPattern: it is malformed, or the extra is not installed.
    """
    if len(text) > MAX_PATTERN:
        raise InvalidPattern(f"has {len(text)} characters, more than {MAX_PATTERN}")
    try:
        re2: Any = import_module("re2")  # it has no types
    except ImportError:
        raise InvalidPattern("needs the extra regex: pip install 'artemis-loader[regex]'") from None
    options = re2.Options()
    options.log_errors = False
    try:
        return cast("Pattern", re2.compile(text, options))
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise InvalidPattern(f"{text!r} is no regular expression of RE2: {reason}") from None


def compile_replacement(pattern: Pattern, text: str) -> Callable[[Match], str]:
    r"""Returns the function that makes the text which replaces a match.

    `\1` stands for the first group: "\\2 \\1" for a match of "(\\w+), (\\w+)" in "Lovelace, Ada" gives "Ada Lovelace".

    Raises:
        InvalidPattern: it names a group that the pattern does not have.
    """
    parts: list[str | int] = [int(part) if index % 2 else part for index, part in enumerate(_GROUP.split(text))]
    for part in parts:
        if isinstance(part, int) and part > pattern.groups:
            raise InvalidPattern(f"the pattern has {pattern.groups} groups, and no \\{part}")
    return lambda match: "".join([(match.group(part) or "") if isinstance(part, int) else part for part in parts])
