"""Reads the values of a TOML table with their types, and refuses keys that nobody takes."""

import difflib
from collections.abc import Collection, ItemsView
from typing import Any
from zoneinfo import ZoneInfo

from artemis_loader.errors import ConfigError

_NAMES = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "an array",
    dict: "a table",
}


class TomlTable:
    """One table of the file. Every key must be taken before `close`, which refuses the others."""

    def __init__(self, where: str, values: object) -> None:
        self.where = where
        if not isinstance(values, dict):
            raise ConfigError(f"{where}: must be a table")
        self._values: dict[str, Any] = values
        self._taken: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def fail(self, key: str, reason: str) -> ConfigError:
        """Returns an error that names the key."""
        return ConfigError(f"{self.where}.{key}: {reason}")

    def take(self, key: str, *kinds: type, default: object = None) -> Any:
        """Returns the value, which must be of one of the kinds; the default when the key is not there.

        Raises:
            ConfigError: it is of another kind, or missing without a default.
        """
        self._taken.add(key)
        if key not in self._values:
            if default is None:
                raise self.fail(key, "is missing")
            return default
        value = self._values[key]
        if type(value) not in kinds:
            raise self.fail(key, f"must be {' or '.join(_NAMES.get(kind, kind.__name__) for kind in kinds)}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """Returns a text that is not empty; the default when the key is not there."""
        value: str = self.take(key, str, default=default)
        if key in self and not value:
            raise self.fail(key, "must not be empty")
        return value

    def choice(self, key: str, choices: Collection[str], default: str | None = None) -> Any:
        """Returns one of the choices."""
        value = self.take(key, str, default=default)
        if value not in choices:
            raise self.fail(key, f"must be one of {', '.join(choices)}, not {value!r}")
        return value

    def number(self, key: str, low: float, high: float, default: float) -> float:
        """Returns a number within the bounds."""
        value = float(self.take(key, int, float, default=default))
        if not low <= value <= high:
            raise self.fail(key, f"must be from {low:g} to {high:g}")
        return value

    def zone(self, key: str) -> ZoneInfo | None:
        """Returns a time zone of the IANA database, or None when the key is not there."""
        name = self.take(key, str, default="")
        if key not in self:
            return None
        try:
            return ZoneInfo(name)
        except (ValueError, OSError, KeyError):  # not a name, a folder of the database, not in it
            raise self.fail(key, f"{name!r} is no time zone, such as Europe/Berlin") from None

    def table(self, key: str) -> "TomlTable":
        """Returns the table under the key; an empty one when the key is not there."""
        self._taken.add(key)
        return TomlTable(f"{self.where}.{key}", self._values.get(key, {}))

    def items(self) -> ItemsView[str, object]:
        """Returns all keys and values, whatever they are."""
        return self._values.items()

    def close(self) -> None:
        """Checks that every key was taken.

        Raises:
            ConfigError: a key was not taken, so nothing would use it.
        """
        for key in self._values:
            if key not in self._taken:
                near = difflib.get_close_matches(key, sorted(self._taken), n=1)
                raise self.fail(key, f"unknown key{f'; is it {near[0]}?' if near else ''}")
