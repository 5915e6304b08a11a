"""Finds the next page of a feed: in the header Link (RFC 8288), or in the JSON of the page."""

import re
from collections.abc import Iterable

import httpx

from artemis_loader.errors import FeedError
from artemis_loader.feeds import Feed, Pages
from artemis_loader.fetch.credentials import is_home, origin
from artemis_loader.files import LocalFile, open_file
from artemis_loader.formats.json_array import value_at

_MAX_CURSOR = 8192
"""Characters of a cursor, or of a URL."""
_LINK = re.compile(r'<([^<>]*)>((?:[^,"<]|"(?:[^"\\]|\\.)*")*)')
_PARAMETER = re.compile(r';\s*([^\s;="]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+)))?')
"""Takes a parameter whole, so that a title in quotes hides what looks like another one: `title="; rel=next"`."""


class Paging:
    """The pages of one feed; it goes forward, and never to a page twice."""

    def __init__(self, feed: Feed, pages: Pages, name: str) -> None:
        self._feed = feed
        self._pages = pages
        self._name = name
        self._seen = {feed.url}

    def next_url(self, response: httpx.Response, file: LocalFile) -> str:
        """Returns the URL of the page after this one; empty if it is the last one.

        Raises:
            FeedError: the next page was fetched already, is on another host, or is one too many.
        """
        url = self._linked(response) if self._pages.next else self._by_cursor(response, file)
        if not url:
            return ""
        try:
            at_home = is_home(origin(self._feed.url), origin(url))
        except ValueError:  # a port that cannot be
            raise FeedError(f"{self._name}: the next page has no URL that can be used") from None
        if not at_home:
            raise FeedError(f"{self._name}: the next page is on another host, port or scheme")
        url = str(httpx.URL(url).copy_with(userinfo=httpx.URL(self._feed.url).userinfo))
        if url in self._seen:
            raise FeedError(f"{self._name}: page {len(self._seen)} leads back to an earlier one")
        if len(self._seen) >= self._pages.max_pages:
            raise FeedError(f"{self._name}: has more than {self._pages.max_pages} pages (max_pages)")
        self._seen.add(url)
        return url

    def _linked(self, response: httpx.Response) -> str:
        link = linked(response.headers.get_list("link"))
        return _join(response, link, self._name) if link else ""

    def _by_cursor(self, response: httpx.Response, file: LocalFile) -> str:
        path = ".".join(self._pages.cursor)
        with open_file(file, self._feed) as stream:
            cursor = value_at(stream, file, self._pages.cursor)
        if cursor is None or cursor in ("", False):
            return ""
        if isinstance(cursor, bool) or not isinstance(cursor, str | int) or len(str(cursor)) > _MAX_CURSOR:
            raise FeedError(f"{self._name}: {path} is no cursor: a text or a whole number (http.pages.cursor)")
        if not self._pages.parameter:
            return _join(response, str(cursor), self._name)
        return str(httpx.URL(self._feed.url).copy_set_param(self._pages.parameter, str(cursor)))


def linked(values: Iterable[str]) -> str:
    """Returns the URL that the values of the header Link give for the relation "next"; empty if they give none.

    A link may have several relations, in any case, and parameters in any order (RFC 8288, section 3).
    """
    for value in values:
        for url, parameters in _LINK.findall(value):
            relations = (
                quoted or token for name, quoted, token in _PARAMETER.findall(parameters) if name.lower() == "rel"
            )
            if "next" in next(relations, "").lower().split():  # the first counts
                return str(url).strip()
    return ""


def _join(response: httpx.Response, url: str, name: str) -> str:
    try:
        return str(response.url.join(url))
    except (httpx.InvalidURL, ValueError):
        raise FeedError(f"{name}: the next page has no URL that can be used") from None
