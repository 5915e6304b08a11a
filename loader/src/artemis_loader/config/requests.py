"""Reads how a feed is requested: the headers, the token and the pages of `[feeds.NAME.http]`."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from artemis_loader.config.toml_table import TomlTable
from artemis_loader.errors import ConfigError
from artemis_loader.feeds import Http, Pages, Secret

PLAIN = ("accept", "accept-language", "user-agent")
"""Headers that are no secret, and may stand in the configuration."""
_OURS = ("accept-encoding", "connection", "content-length", "host", "if-modified-since", "if-none-match", "te",
         "transfer-encoding", "upgrade")  # fmt: skip
"""Headers that the loader sets."""
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
"""A token of RFC 9110, section 5.6.2."""
_MAX_PAGES = 100_000


def read_http(table: TomlTable, folder: Path, form: str) -> Http:
    """Returns the requests; files of secrets are relative to the folder.

    Raises:
        ConfigError: a header or a page cannot work, or a secret stands in the configuration.
    """
    headers = table.table("headers")
    http = Http(
        headers=_headers(headers, folder),
        bearer=_secret(table.table("bearer"), folder) if "bearer" in table else None,
        pages=_pages(table.table("pages"), form) if "pages" in table else None,
    )
    if http.bearer and "authorization" in http.headers:
        raise table.fail("bearer", "is another header Authorization")
    table.close()
    return http


def _headers(table: TomlTable, folder: Path) -> Mapping[str, str | Secret]:
    headers: dict[str, str | Secret] = {}
    for key, value in table.items():
        name = key.lower()
        if not _NAME.fullmatch(name) or name in _OURS:
            raise table.fail(key, "is no header that a feed can set")
        if name in headers:
            raise table.fail(key, "stands here twice")
        if isinstance(value, str) and name not in PLAIN:
            raise table.fail(key, f'must come from {{ env = "NAME" }} or {{ file = "PATH" }}, as all but {PLAIN} must')
        headers[name] = _plain(table, key, value) if isinstance(value, str) else _secret(table.table(key), folder)
    return MappingProxyType(headers)


def _plain(table: TomlTable, key: str, value: str) -> str:
    if not value.isprintable() or not value.isascii():
        raise table.fail(key, "must be printable ASCII")
    return value


def _secret(table: TomlTable, folder: Path) -> Secret:
    if ("env" in table) is ("file" in table):
        raise ConfigError(f"{table.where}: needs exactly one of env, file")
    env, file = table.text("env", ""), table.text("file", "")
    table.close()
    return Secret(env=env, file=str(folder.absolute() / file) if file else "")


def _pages(table: TomlTable, form: str) -> Pages:
    if ("next" in table) is ("cursor" in table):
        raise ConfigError(f"{table.where}: needs exactly one of next, cursor")
    if "cursor" in table and form != "json":
        raise table.fail("cursor", f"means nothing for the format {form}")
    if "parameter" in table and "cursor" not in table:
        raise table.fail("parameter", "means nothing without cursor")
    cursor = tuple(table.text("cursor", "").split(".")) if "cursor" in table else ()
    if not all(cursor):
        raise table.fail("cursor", "has an empty step")
    pages = Pages(
        next=table.choice("next", ("link",)) if "next" in table else "",
        cursor=cursor,
        parameter=table.text("parameter", ""),
        max_pages=int(table.number("max_pages", 1, _MAX_PAGES, Pages.max_pages)),
    )
    table.close()
    return pages
