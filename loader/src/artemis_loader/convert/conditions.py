"""The conditions of `where`: they tell which rows belong to the feed."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

from artemis_loader.convert.patterns import compile_pattern
from artemis_loader.convert.row_by_row import InvalidRecord, text_of
from artemis_loader.feeds import Condition, Feed, Source
from artemis_loader.files import LocalFile
from artemis_loader.formats.rows import Fault, Row, Rows, is_unicode, shown

Keep: TypeAlias = Callable[[Row], bool]


def compile_conditions(feed: Feed, file: LocalFile) -> Keep | None:
    """Returns the function that tells whether a row of the file belongs to the feed; None if all do.

    The function raises InvalidRecord when a condition cannot be told, because there is an object in the text's place.
    """
    if not feed.where:
        return None
    tests = [_compile(condition, file) for condition in feed.where]
    return lambda row: all(test(row) for test in tests)


def _compile(condition: Condition, file: LocalFile) -> Keep:
    text = text_of(f"where: {' or '.join(_keys(condition.source))}", condition.source, file)
    if condition.equals:
        accepted = frozenset(condition.equals)
        return lambda row: text(row) in accepted
    if condition.not_equals:
        refused = frozenset(condition.not_equals)
        return lambda row: text(row) not in refused
    if condition.matches:
        pattern = compile_pattern(condition.matches)
        return lambda row: is_unicode(found := text(row)) and pattern.search(found) is not None
    return lambda row: bool(text(row)) is condition.present


def _keys(source: Source) -> Iterator[str]:
    """Yields the keys that a text comes from, as an error names them."""
    if source.key:
        yield ".".join(source.key)
    for part in (*source.join, *source.first):
        yield from _keys(part)


class LeftOut:
    """Leaves out rows that do not belong to the feed, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def filter(self, rows: Rows, keep: Keep | None) -> Rows:
        """Returns the rows that belong to the feed, and all faults; a row is a fault if that cannot be told."""
        return rows if keep is None else self._filtered(rows, keep)

    def _filtered(self, rows: Rows, keep: Keep) -> Rows:
        for item in rows:
            if not isinstance(item, tuple) or not isinstance(item[1], dict):
                yield item
                continue
            line, row = item
            try:
                kept = keep(row)
            except InvalidRecord as error:
                yield Fault(line, str(error), shown(row), row)
                continue
            if kept:
                yield item
            else:
                self.count += 1
