"""Reads how a text is changed: the keys `extract`, `replace`, `case` and `map` beside a source."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import get_args

from artemis_loader.config.toml_table import TomlTable
from artemis_loader.convert.patterns import InvalidPattern, Pattern, compile_pattern, compile_replacement
from artemis_loader.feeds import Case, Source

_PAIR = 2


def read_transforms(table: TomlTable, source: Source) -> Source:
    """Returns the source with the changes that the table declares.

    Raises:
        ConfigError: a regular expression is malformed, or a value of another kind.
    """
    return replace(
        source,
        extract=read_pattern(table, "extract"),
        replace=_replacements(table),
        case=table.choice("case", get_args(Case)[1:], "") if "case" in table else "",
        map=_map(table),
    )


def read_pattern(table: TomlTable, key: str) -> str:
    """Returns a regular expression that can be compiled; "" when the key is not there."""
    text = table.text(key, "")
    if text:
        _compiled(table, key, text)
    return text


def _compiled(table: TomlTable, key: str, text: str) -> Pattern:
    try:
        return compile_pattern(text)
    except InvalidPattern as error:
        raise table.fail(key, str(error)) from None


def _replacements(table: TomlTable) -> tuple[tuple[str, str], ...]:
    pairs = table.take("replace", list, default=[])
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != _PAIR or not all(isinstance(text, str) for text in pair):
            raise table.fail("replace", 'must be an array of pairs: [["a pattern", "what replaces it"]]')
        try:
            compile_replacement(_compiled(table, "replace", pair[0]), pair[1])
        except InvalidPattern as error:
            raise table.fail("replace", str(error)) from None
    return tuple((pattern, text) for pattern, text in pairs)


def _map(table: TomlTable) -> Mapping[str, str]:
    texts = table.take("map", dict, default={})
    if not all(isinstance(text, str) for text in texts.values()):
        raise table.fail("map", "must have texts only")
    if "map" in table and not texts:
        raise table.fail("map", "must not be empty")
    return MappingProxyType(texts)
