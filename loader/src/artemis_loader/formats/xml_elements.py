"""XML: each element at a path is a record, read as a stream. A file that is not well-formed is a failure.

The standard library's expat is safe as it is set up here: a file that declares an entity is refused, so that none can
grow, and nothing outside the file is ever read. Names are taken as they are written, with their prefixes.
"""

import io
from collections.abc import Sequence
from html.entities import html5
from typing import Any
from xml.parsers import expat

from artemis_loader.errors import FeedError
from artemis_loader.feeds import Feed
from artemis_loader.files import LocalFile
from artemis_loader.formats.rows import MAX_RECORD, Fault, Rows, shown

TEXT = "#text"
"""The key of an element's own text beside its other keys."""
_PIECE = 1 << 16
_MAX_DEPTH = 32
"""Elements within each other in a record."""
_ELEMENT = 64
"""Characters that an element counts for, beside its name and text."""


def read_elements(stream: io.BufferedReader, file: LocalFile, feed: Feed) -> Rows:
    """Returns the elements at the feed's `records`, such as rss/channel/item, as objects, with their line.

    `<item id="7"><title lang="en">Expo</title><tag>a</tag><tag>b</tag></item>` is
    `{"@id": "7", "title": "Expo", "title@lang": "en", "tag": ["a", "b"]}`. An element with elements in it is an object.

    Raises:
        FeedError: the file is not well-formed, declares an entity, has a tag that is too long, or has no element that
            could have records.
    """
    elements = _Elements(feed.records.split("/"), "utf-8" if file.charset else None)
    try:
        while data := stream.read1(_PIECE):
            try:
                elements.parser.Parse(data, False)
            finally:
                yield from elements.take()
            elements.check_buffer(len(data))
        elements.parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise FeedError(f"{file.name}: line {error.lineno}: is not XML: {expat.ErrorString(error.code)}") from None
    except (LookupError, ValueError):  # a name that Python does not know, or one of several bytes a character
        raise FeedError(f"{file.name}: line 1: is not XML: unknown encoding") from None
    except _Refused as error:
        raise FeedError(f"{file.name}: line {elements.parser.CurrentLineNumber}: {error}") from None
    yield from elements.take()
    if not elements.found:
        raise FeedError(f"{file.name}: has no element {feed.records.rpartition('/')[0] or feed.records} (records)")


class _Refused(Exception):
    """The file is not read on; the text tells why."""


class _Node:
    """An element of a record while it is read."""

    __slots__ = ("attributes", "children", "name", "texts")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.children: dict[str, Any] = {}
        self.texts: list[str] = []

    def add(self, key: str, value: Any) -> None:
        """Adds a value; the second one of a key makes an array."""
        if key not in self.children:
            self.children[key] = value
        elif isinstance(self.children[key], list):
            self.children[key].append(value)
        else:
            self.children[key] = [self.children[key], value]


class _Elements:
    """Takes the events of the parser, and keeps the records that ended, until they are taken."""

    def __init__(self, path: Sequence[str], encoding: str | None) -> None:
        self.parser = expat.ParserCreate(encoding)
        self.parser.buffer_text = True
        self.parser.specified_attributes = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.EntityDeclHandler = self._refuse_entity
        self.parser.SkippedEntityHandler = self._named_character
        self.found = False
        """True once an element was there that could have records."""
        self._path = tuple(path)
        self._open: list[str] = []
        self._nodes: list[_Node] = []
        self._ended: list[tuple[int, Any] | Fault] = []
        self._line = self._size = self._read = 0
        self._fault = ""

    def take(self) -> Rows:
        """Returns the records that have ended since the last time."""
        ended, self._ended = self._ended, []
        return iter(ended)

    def check_buffer(self, read: int) -> None:
        """Raises _Refused when the parser holds too much: a tag, which it keeps until it ends."""
        self._read += read
        if self._read - self.parser.CurrentByteIndex > MAX_RECORD:
            raise _Refused(f"a tag or a comment is longer than {MAX_RECORD} bytes")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._nodes:
            self._open.append(name)
            self.found = self.found or tuple(self._open) == (self._path[:-1] or self._path)
            if len(self._open) != len(self._path) or tuple(self._open) != self._path:
                return
            self._line, self._size, self._fault = self.parser.CurrentLineNumber, 0, ""
        self._grow(_ELEMENT + len(name) + sum(len(key) + len(value) for key, value in attributes.items()))
        if len(self._nodes) >= _MAX_DEPTH:
            self._fault = self._fault or f"has elements more than {_MAX_DEPTH} deep"
        self._nodes.append(_Node(name, {} if self._fault else attributes))

    def _text(self, text: str) -> None:
        if self._nodes:
            self._grow(len(text))
            if not self._fault:
                self._nodes[-1].texts.append(text)

    def _end(self, _: str) -> None:
        if not self._nodes:
            self._open.pop()
            return
        node = self._nodes.pop()
        if not self._nodes:
            self._open.pop()
            self._finish(node)
        elif not self._fault:
            self._close(node, self._nodes[-1])

    def _close(self, node: _Node, parent: _Node) -> None:
        """Gives an element to the one around it: its text, or an object if there are elements in it."""
        text = "".join(node.texts).strip()
        if node.children:
            self._grow(len(text))
            parent.add(node.name, node.children | ({TEXT: text} if text else {}))
        else:
            parent.add(node.name, text)
        for key, value in node.attributes.items():
            parent.add(f"{node.name}@{key}", value)
        parent.texts += node.texts

    def _finish(self, node: _Node) -> None:
        row = {f"@{key}": value for key, value in node.attributes.items()} | node.children
        if not node.children:
            row[TEXT] = "".join(node.texts).strip()
        self._ended.append(Fault(self._line, self._fault, shown(row)) if self._fault else (self._line, row))

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > MAX_RECORD and not self._fault:
            self._fault = f"is longer than {MAX_RECORD} characters"
            for node in self._nodes:
                node.texts.clear()
                node.children.clear()

    def _named_character(self, name: str, is_parameter: bool) -> None:
        """Takes `&nbsp;` of an old RSS file, whose document type is not read, for what HTML means by it."""
        if not is_parameter:
            self._text(html5.get(f"{name};", f"&{name};"))

    def _refuse_entity(self, name: str, *_: object) -> None:
        raise _Refused(f"declares the entity {name[:40]!r}, which is not allowed")
