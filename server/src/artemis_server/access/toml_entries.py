"""Reads the TOML files of access control. Such a file is a list of tables with one name, such as [[token]]."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from artemis_server.access.roles import VALUES
from artemis_server.settings import SettingsError


def entries(
    content: bytes, path: Path, table: str, required: Mapping[str, type], optional: Mapping[str, type]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields each table `[[table]]`, after its name in messages: "x.toml: token 2".

    `required` and `optional` are its keys and the types of their values. A key `role` has the name of a role.

    Raises:
        SettingsError: the file has another form, or an unknown key, which may be a misspelt one that restricts access.
    """
    try:
        document = tomllib.loads(content.decode())
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None
    found = document.pop(table, [])
    if document or not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise SettingsError(f"{path} may have tables [[{table}]] only")
    for number, entry in enumerate(found, 1):
        where = f"{path}: {table} {number}"
        for key in required.keys() - entry.keys():
            raise SettingsError(f"{where} has no {key}")
        _check_types(entry, {**required, **optional}, where)
        yield where, entry


def _check_types(entry: Mapping[str, Any], types: Mapping[str, type], where: str) -> None:
    for key, value in entry.items():
        if key not in types:
            raise SettingsError(f"{where} has an unknown key {key!r}")
        if type(value) is not types[key]:
            raise SettingsError(f"{where}: {key} is not a {types[key].__name__}")
    if entry["role"] not in VALUES:
        raise SettingsError(f"{where}: {entry['role']!r} is not one of {', '.join(VALUES)}")
