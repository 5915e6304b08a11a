"""Adds the headers of a feed to its requests. Secrets are read when the feed is fetched, and sent to its host only."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from artemis_loader.errors import FeedError
from artemis_loader.feeds import Feed, Http, Secret

_MAX_SECRET = 16_384
"""Characters."""
_PORTS = {"http": 80, "https": 443}
_Origin = tuple[str, str, int | None]


def headers_of(http: Http, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Returns the headers that the feed declares, with their secrets.

    Raises:
        FeedError: a secret is not there, or cannot be sent. The text does not tell the secret.
    """
    headers = {
        name: _secret(value, f"http.headers.{name}", environment) if isinstance(value, Secret) else value
        for name, value in http.headers.items()
    }
    if http.bearer:
        headers["authorization"] = f"Bearer {_secret(http.bearer, 'http.bearer', environment)}"
    return headers


def adding_headers(feed: Feed) -> Callable[[httpx.Request], None]:
    """Returns the hook of a client that adds the feed's headers to requests; secrets only to those of the feed's host.

    httpx calls it for the first request and for each redirect. It copies headers from one to the next itself, so the
    hook removes secrets where they must not go. Another port or scheme of the host is another program, except for
    https instead of http.
    """
    headers, home = headers_of(feed.http), origin(feed.url)
    plain = {name for name, value in feed.http.headers.items() if isinstance(value, str)}

    def add(request: httpx.Request) -> None:
        at_home = is_home(home, origin(str(request.url)))
        for name, value in headers.items():
            if at_home or name in plain:
                request.headers[name] = value
            elif name in request.headers:
                del request.headers[name]

    return add


def origin(url: str) -> _Origin:
    """Returns the scheme, the host and the port."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)


def is_home(home: _Origin, other: _Origin) -> bool:
    """Tells whether an origin may have what belongs to another one: it is the same, or the same host by https."""
    return other == home or (home[0] == "http" and home[2] == _PORTS["http"] and other == ("https", home[1], 443))


def _secret(secret: Secret, key: str, environment: Mapping[str, str]) -> str:
    text = _from_file(secret.file, key) if secret.file else environment.get(secret.env, "").strip()
    if not text:
        place = f"the file {secret.file}" if secret.file else f"the variable {secret.env} of the environment"
        raise FeedError(f"{key}: {place} is empty or not there")
    if not text.isascii() or not text.isprintable() or len(text) > _MAX_SECRET:
        raise FeedError(f"{key}: the secret is no value of a header: one line of up to {_MAX_SECRET} ASCII characters")
    return text


def _from_file(path: str, key: str) -> str:
    try:
        with Path(path).open(encoding="ascii", errors="replace") as file:
            return file.read(_MAX_SECRET + 2).strip()
    except OSError as error:
        raise FeedError(f"{key}: {path}: {os.strerror(error.errno or 0)}") from None
