"""The text of a JSON file, of which only a piece is in memory. It knows nothing of feeds."""

import codecs
import io
import json
import re
from collections.abc import Iterator
from itertools import accumulate, islice
from typing import Any

from artemis_loader.convert.rules import is_unicode
from artemis_loader.formats.json_values import almost_at, decode_at, reason
from artemis_loader.formats.rows import LONGEST_LINE, SHOWN

_PIECE = 1 << 18
_GLANCE = 1 << 10
"""Characters that are looked at first for the end of a value; then twice as many, and so on up to a piece."""
_ANY = 1 << 60
_MARGIN = 16
"""Characters at the end of what was read that may look wrong only because the rest is not there yet."""
_SPACES = re.compile(r"[ \t\n\r]*+")
_IN_STRING = re.compile(r'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_STRING = f'"{_IN_STRING.pattern}"'
_WHOLE = re.compile(rf'(?:[^"]++|{_STRING})*+', re.DOTALL)
"""What has no string that is cut off."""
_OTHERS = re.compile(rf'[^"\[\]{{}}]++|{_STRING}', re.DOTALL)
_TO_BRACKET = re.compile(rf"(?:{_OTHERS.pattern})*+[\[\]{{}}]", re.DOTALL)
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}
_SCALAR = re.compile(r'[^ \t\n\r"\[\]{},:]*+')


class NotJson(Exception):
    """The file is no JSON, or ends early; the text tells where."""


class Unusable(Exception):
    """A value cannot be used, and those after it can; the text tells why. It has been skipped."""

    def __init__(self, why: str, beginning: str, known: Any = None) -> None:
        super().__init__(why)
        self.beginning = beginning
        self.known = known
        """What could be read of it all the same."""


class JsonText:
    """Reads a file from value to value, and only forward. Bytes that are not UTF-8 spoil the value they are in."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._text = ""
        self._at = 0
        """The place in the piece."""
        self._before = 0
        """Characters of the file before the piece."""
        self._ended = False
        self._damaged = False
        """Whether there were bytes that are not UTF-8."""

    def peek(self) -> str:
        """Goes to the next character that is no space and returns it; nothing at the end."""
        while True:
            self._take(_SPACES)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def elements(self, brackets: str) -> Iterator[None]:
        """Goes from one element to the next of the array or object that begins here; the caller takes each."""
        self._at += 1
        after = self.peek()
        if after == brackets[1]:
            self._at += 1
            return
        while True:
            yield
            after = self.peek()
            if after not in (brackets[1], ","):
                raise self._broken("Expecting ',' delimiter", self._at)
            self._at += 1
            if after != ",":
                return
            self.peek()

    def members(self) -> Iterator[str]:
        """Goes from one value to the next of the object that begins here, and yields their keys."""
        for _ in self.elements("{}"):
            if self.peek() != '"':
                raise self._broken("Expecting property name", self._at)
            try:
                key = str(self.value())
            except Unusable as error:
                raise NotJson(f"a key {error}") from None
            if self.peek() != ":":
                raise self._broken("Expecting ':' delimiter", self._at)
            self._at += 1
            self.peek()
            yield key

    def value(self) -> Any:
        """Takes the value that begins here.

        Raises:
            Unusable: it cannot be used.
            NotJson: there is none.
        """
        while True:
            try:
                value, end, why = self._decoded()
            except json.JSONDecodeError as error:
                if not self._is_cut_off(error) or self._ended:
                    raise self._broken(error.msg, error.pos) from None
            except RecursionError as error:
                raise self._unusable(reason(error)) from None
            else:
                if end + _MARGIN <= len(self._text) or self._ended:  # or else a number may go on
                    return self._taken(value, end, why)
            if len(self._text) - self._at > LONGEST_LINE:
                raise self._unusable(f"is longer than {LONGEST_LINE} characters")
            self._more()

    def skip(self) -> None:
        """Goes past the value that begins here, whatever its length."""
        if self._text[self._at : self._at + 1] in ("[", "{", '"'):
            self._pass()
            return
        try:
            self.value()
        except Unusable:
            return

    def end(self) -> None:
        """Raises NotJson if anything follows."""
        if self.peek():
            raise self._broken("Extra data", self._at)

    def _decoded(self) -> tuple[Any, int, str]:
        """Returns the value that begins here, where it ends, and why it cannot be used, if so."""
        try:
            return *decode_at(self._text, self._at), ""
        except json.JSONDecodeError:
            raise
        except ValueError as error:
            return *almost_at(self._text, self._at), reason(error)

    def _taken(self, value: Any, end: int, why: str) -> Any:
        text, self._at = self._text[self._at : end] if self._damaged or why else "", end
        if why:
            raise Unusable(why, text[:SHOWN], value)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            why = f"invalid UTF-8 at character {error.start + 1} of the record"
            raise Unusable(why, text[:SHOWN], value) from None
        return value

    def _more(self) -> bool:
        """Reads on, and tells whether there was anything. A long value is not begun anew for every piece."""
        if self._ended:
            return False
        rest = self._text[self._at :]
        data = self._stream.read(max(_PIECE, min(len(rest), LONGEST_LINE - len(rest))))
        self._ended = not data
        piece = self._decoder.decode(data, final=self._ended)
        self._damaged = self._damaged or not is_unicode(piece)
        self._before += self._at
        self._text, self._at = rest + piece, 0
        return True

    def _take(self, pattern: "re.Pattern[str]", most: int = _ANY) -> int:
        """Goes past what the pattern matches here, up to so many characters, and returns where it began."""
        start = self._at
        found = pattern.match(self._text, start, start + most)
        self._at = found.end() if found else start
        return start

    def _is_cut_off(self, error: json.JSONDecodeError) -> bool:
        """Tells whether what is wrong may be only that the text goes on."""
        return error.pos + _MARGIN > len(self._text) or error.msg.startswith("Unterminated string")

    def _broken(self, why: str, place: int) -> NotJson:
        if place >= len(self._text) or why.startswith("Unterminated string"):
            why, place = "the file ends early", len(self._text) - 1
        elif not is_unicode(self._text[place]):
            why = "invalid UTF-8"
        return NotJson(f"{why} at character {self._before + place + 1}")

    def _unusable(self, why: str) -> Unusable:
        beginning = self._text[self._at : self._at + SHOWN]
        self._pass()
        return Unusable(why, beginning)

    def _pass(self) -> None:
        """Goes past a value without decoding it; whether it is JSON is known only as far as its brackets tell."""
        if self._text[self._at] == '"':
            self._pass_string()
        elif self._text[self._at] in "[{":
            self._pass_nested()
        else:
            self._take(_SCALAR)
            while self._at == len(self._text) and self._more():
                self._take(_SCALAR)

    def _pass_nested(self) -> None:
        depth, most = 0, _GLANCE
        while True:
            start = self._take(_WHOLE, most)
            most = min(2 * most, _PIECE)
            brackets = _OTHERS.sub("", self._text[start : self._at])
            depths = list(accumulate(map(_STEPS.__getitem__, brackets), initial=depth))
            if 0 in depths[1:]:
                ends = _TO_BRACKET.finditer(self._text, start)
                self._at = next(islice(ends, depths.index(0, 1) - 1, None)).end()
                return
            depth = depths[-1]
            if self._text[self._at : self._at + 1] == '"':
                self._pass_string()
            elif self._at == len(self._text):
                self._read_on()

    def _pass_string(self) -> None:
        self._at += 1
        self._take(_IN_STRING)
        while self._text[self._at : self._at + 1] != '"':
            self._read_on()
            self._take(_IN_STRING)
        self._at += 1

    def _read_on(self) -> None:
        """Reads more of a value that has not ended."""
        if not self._more():
            raise self._broken("", len(self._text))
