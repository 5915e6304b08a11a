"""Reads the conditions of `where`: `{ key = "status", equals = ["confirmed"] }`."""

from artemis_loader.config.field_mapping import read_source
from artemis_loader.config.toml_table import TomlTable
from artemis_loader.config.transforms import read_pattern
from artemis_loader.errors import ConfigError
from artemis_loader.feeds import Condition, Format

_TESTS = ("equals", "not_equals", "matches", "present")


def read_conditions(table: TomlTable, form: Format) -> tuple[Condition, ...]:
    """Returns the conditions under `where`, an array of tables.

    Raises:
        ConfigError: a condition has no source, or not exactly one test.
    """
    tables = table.take("where", list, default=[])
    return tuple(
        _condition(TomlTable(f"{table.where}.where[{index}]", value), nested=form.nested)
        for index, value in enumerate(tables)
    )


def _condition(table: TomlTable, *, nested: bool) -> Condition:
    source = read_source(table, nested=nested)
    if len([test for test in _TESTS if test in table]) != 1:
        raise ConfigError(f"{table.where}: needs exactly one of {', '.join(_TESTS)}")
    condition = Condition(
        source=source,
        equals=_texts(table, "equals"),
        not_equals=_texts(table, "not_equals"),
        matches=read_pattern(table, "matches"),
        present=table.take("present", bool) if "present" in table else None,
    )
    table.close()
    return condition


def _texts(table: TomlTable, key: str) -> tuple[str, ...]:
    """Returns one text, or several."""
    if key not in table:
        return ()
    value = table.take(key, str, list)
    texts = [value] if isinstance(value, str) else value
    if not texts or not all(isinstance(text, str) for text in texts):
        raise table.fail(key, "must be a text, or an array of texts")
    return tuple(texts)
