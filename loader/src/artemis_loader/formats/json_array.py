"""An array of objects in a JSON file, read as a stream. A file that ends early or is not JSON is a failure.

The standard library decodes each record, from a piece of the file that is in memory. The streaming parser ijson was
tried instead: it fails the whole file for one number above 2^63, and without that limit ends the process for one of
5,000 digits.
"""

import codecs
import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from artemis_loader.errors import FeedError
from artemis_loader.feeds import Feed
from artemis_loader.files import LocalFile
from artemis_loader.formats.json_values import TOO_DEEP, decode_at
from artemis_loader.formats.rows import MAX_RECORD, MAX_SHOWN, Fault, Rows, is_unicode, shown

_PIECE = 1 << 18
_MARGIN = 16
"""Characters at the end of a piece: they may look broken, or like a whole number, while the rest is not read."""
_SPACES = re.compile(r"[ \t\n\r]*+")
# Every repeated group is atomic: Python before 3.11.5 goes wrong where "*+" repeats alternatives (its issue 106052).
_IN_STRING = re.compile(r'[^"\\]*+(?>\\.[^"\\]*+)*+', re.DOTALL)
_SCALARS = rf'(?>[^"\[\]{{}}]++|"{_IN_STRING.pattern}")'
_FLAT = rf"[\[{{]{_SCALARS}*+[\]}}]"
_NESTED = rf"[\[{{](?>{_SCALARS}|{_FLAT})*+[\]}}]"
_TO_BRACKET = re.compile(rf"(?>{_SCALARS}|{_NESTED})*+", re.DOTALL)
"""The text up to a bracket, or to a string that the piece cuts off. Brackets that hold two more are passed as text."""


def read_array(stream: io.BufferedReader, file: LocalFile, feed: Feed) -> Rows:
    """Returns the rows of the array at the feed's `records`, with their index.

    Raises:
        FeedError: the file is not JSON, ends early, or has no such array.
    """
    text = _JsonText(stream)
    path = feed.records.split(".") if feed.records else []
    arrays = index = 0
    try:
        for arrays, _ in enumerate(_arrays(text, path), 1):  # noqa: B007, used when there are no more
            for _ in text.elements("]"):
                value, reason, beginning = text.value()
                index += 1
                yield Fault(index, reason, shown(beginning), value) if reason else (index, value)
        if text.peek():
            raise text.broken("Extra data")
    except _NotJson as error:
        after = f" after record {index}" if index else ""
        raise FeedError(f"{file.name}: is not valid JSON{after}: {error}") from None
    if not arrays:
        raise FeedError(f"{file.name}: has no array at {feed.records or 'its top'} (records)")


def value_at(stream: io.BufferedReader, file: LocalFile, path: Sequence[str]) -> Any:
    """Returns the value at a path of the objects of a file, without what stands elsewhere in memory; None if none is.

    Raises:
        FeedError: the file is not JSON, or ends early.
    """
    text, found = _JsonText(stream), None
    try:
        for _ in _places(text, path):
            found, _, _ = text.value()
    except _NotJson as error:
        raise FeedError(f"{file.name}: is not valid JSON: {error}") from None
    return found


def _places(text: "_JsonText", path: Sequence[str]) -> Iterator[None]:
    """Goes to the value at the end of the path; to several when a key of the path stands there more than once."""
    if not path:
        yield
    elif text.peek() == "{":
        for key in text.members():
            if key == path[0]:
                yield from _places(text, path[1:])
            else:
                text.skip()
    else:
        text.skip()


def _arrays(text: "_JsonText", path: Sequence[str]) -> Iterator[None]:
    """Goes to the array at the end of the path; to several when a key of the path stands there more than once.

    In `{"meta": {}, "data": {"items": [1]}}` with the path data, items it goes to `[1]`.
    """
    first = text.peek()
    if first == "[" and not path:
        yield
    elif first == "{" and path:
        for key in text.members():
            if key == path[0]:
                yield from _arrays(text, path[1:])
            else:
                text.skip()
    else:
        text.skip()


class _NotJson(Exception):
    """The file is not JSON, or ends early; the text tells where."""


class _JsonText:
    """Reads a file from value to value, forward only. A byte that is not UTF-8 makes one value unusable."""

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
        """True once the file had bytes that are not UTF-8, which became lone surrogates."""

    def peek(self) -> str:
        """Goes to the next character that is no space and returns it; "" at the end."""
        while True:
            self._pass(_SPACES)
            if self._at < len(self._text) or not self._read_on():
                return self._text[self._at : self._at + 1]

    def elements(self, bracket: str) -> Iterator[None]:
        """Goes from one element to the next of the array or object that begins here; the caller takes each."""
        self._at += 1
        after = "," if self.peek() != bracket else self._take(bracket)
        while after == ",":
            self.peek()
            yield
            after = self._take(f",{bracket}")

    def members(self) -> Iterator[str]:
        """Goes from one value to the next of the object that begins here, and yields their keys."""
        for _ in self.elements("}"):
            if self.peek() != '"':
                raise self.broken("Expecting property name")
            key, reason, _ = self.value()
            if reason:
                raise _NotJson(f"a key {reason}")
            self._take(":")
            self.peek()
            yield key

    def value(self) -> tuple[Any, str, str]:
        """Takes the value that begins here.

        Returns the value, why it cannot be used ("" if it can), and its beginning if it cannot.

        Raises:
            _NotJson: no value is here, or it is broken.
        """
        while True:
            try:
                value, end, reason = decode_at(self._text, self._at)
                if self._ended or end + _MARGIN <= len(self._text):
                    return self._checked(value, end, reason)
            except json.JSONDecodeError as error:
                cut_off = error.pos + _MARGIN > len(self._text) or error.msg.startswith("Unterminated string")
                if self._ended or not cut_off:
                    raise self.broken(error.msg, error.pos) from None
            except RecursionError:
                return self._skipped(TOO_DEEP)
            if len(self._text) - self._at > MAX_RECORD:
                return self._skipped(f"is longer than {MAX_RECORD} characters")
            self._read_on()

    def skip(self) -> None:
        """Goes past the value that begins here, of any length. Only the brackets and quotes of a nested one are read.

        At `{"a": ["]"]}, 2` it goes to the comma.
        """
        if self._text[self._at : self._at + 1] not in ("[", "{", '"'):
            self.value()
            return
        depth, in_string = 0, False
        while True:
            if depth or in_string:
                self._pass(_IN_STRING if in_string else _TO_BRACKET)
            character = self._text[self._at : self._at + 1]
            if character in ("", "\\"):  # the end of the piece, or an escape that it cuts off
                if not self._read_on():
                    raise self.broken("", len(self._text))
                continue
            self._at += 1
            if character == '"':
                in_string = not in_string
            else:
                depth += 1 if character in "[{" else -1
            if not depth and not in_string:
                return

    def broken(self, reason: str, place: int | None = None) -> _NotJson:
        """Returns the error that tells where the file is not JSON: at a place of the piece, or else here."""
        place = self._at if place is None else place
        if place >= len(self._text) or reason.startswith("Unterminated string"):
            reason, place = "the file ends early", len(self._text) - 1
        elif not is_unicode(self._text[place]):
            reason = "invalid UTF-8"
        return _NotJson(f"{reason} at character {self._before + place + 1}")

    def _checked(self, value: Any, end: int, reason: str) -> tuple[Any, str, str]:
        text, self._at = self._text[self._at : end] if self._damaged or reason else "", end
        try:
            text.encode()
        except UnicodeEncodeError as error:
            reason = reason or f"invalid UTF-8 at character {error.start + 1} of the record"
        return value, reason, text[:MAX_SHOWN]

    def _skipped(self, reason: str) -> tuple[None, str, str]:
        beginning = self._text[self._at : self._at + MAX_SHOWN]
        if beginning[0] not in '[{"':
            raise self.broken(f"a number {reason}")
        self.skip()
        return None, reason, beginning

    def _take(self, characters: str) -> str:
        """Takes the next character that is no space, which must be one of these."""
        found = self.peek()
        if not found or found not in characters:
            raise self.broken(f"Expecting {characters[0]!r} delimiter")
        self._at += 1
        return found

    def _pass(self, pattern: "re.Pattern[str]") -> None:
        """Goes past the text that the pattern matches here."""
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _read_on(self) -> bool:
        """Adds a piece, longer ones to a long value, so that it is decoded few times; tells whether there was one."""
        if self._ended:
            return False
        rest = self._text[self._at :]
        data = self._stream.read(max(_PIECE, min(len(rest), MAX_RECORD - len(rest))))
        self._ended = not data
        piece = self._decoder.decode(data, final=self._ended)
        self._damaged = self._damaged or not is_unicode(piece)
        self._before += self._at
        self._text, self._at = rest + piece, 0
        return True
