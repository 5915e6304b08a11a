"""Gets a feed over http into a temporary file."""

import codecs
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from artemis_loader.errors import FeedError
from artemis_loader.feeds import FORMATS, Feed
from artemis_loader.fetch.credentials import adding_headers
from artemis_loader.fetch.paging import Paging
from artemis_loader.files import Fetched, LocalFile, Validators, check_files

ATTEMPTS = 4
_MAX_WAIT = 60.0
_REDIRECTS = 5
_NOT_MODIFIED = 304
_SUCCESSES = (200, 203)
"""OK, and OK as a proxy has changed it."""
_TRY_AGAIN = (408, 425, 429)
_SERVER_ERROR = 500
_INTERNAL = re.compile(r"\[Errno -?\d+\] |\[SSL: \w+\] | \(_ssl\.c:\d+\)")
"""Parts of an error's text that are for programmers."""
_HEADERS = {"accept-encoding": "gzip", "user-agent": "artemis-loader"}


class _TryAgain(Exception):
    """An attempt failed in a way that may pass; its text tells how."""

    def __init__(self, reason: str, wait: float = 0) -> None:
        super().__init__(reason)
        self.wait = wait


def public_url(url: str) -> str:
    """Returns the URL without what may be secret: user, password, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def download(feed: Feed, validators: Validators | None, workdir: Path, wait: Callable[[float], object]) -> Fetched:
    """Fetches a feed, all of its pages if it has some; each with several attempts, and longer and longer waits.

    Raises:
        FeedError: the feed cannot be fetched, is too large, or is a page instead of a feed.
    """
    end = time.monotonic() + feed.limits.deadline
    with _client(feed) as client:
        fetch = partial(_fetch, client, feed, end=end, wait=wait)
        if feed.http.pages is None:
            return fetch(feed.url, validators, workdir / "download").fetched
        return _all_pages(feed, Paging(feed, feed.http.pages, public_url(feed.url)), workdir, fetch)


def _all_pages(feed: Feed, paging: Paging, workdir: Path, fetch: Callable[..., "_Answer"]) -> Fetched:
    """Fetches one page after another. That the first one is unchanged would not tell that all are: no validators."""
    files: list[LocalFile] = []
    url, size = feed.url, 0
    while url:
        answer = fetch(url, None, workdir / f"download-{len(files) + 1}")
        files.append(replace(answer.file, name=f"{answer.file.name} (page {len(files) + 1})"))
        size += answer.fetched.size
        if size > feed.limits.max_bytes:
            raise FeedError(f"{public_url(feed.url)}: is larger than {feed.limits.max_bytes} bytes (max_bytes)")
        url = paging.next_url(answer.response, files[-1])
    return Fetched(files=tuple(files))


@dataclass(frozen=True, kw_only=True)
class _Answer:
    response: httpx.Response
    fetched: Fetched

    @property
    def file(self) -> LocalFile:
        return self.fetched.files[0]


def _fetch(
    client: httpx.Client,
    feed: Feed,
    url: str,
    validators: Validators | None,
    path: Path,
    *,
    end: float,
    wait: Callable[[float], object],
) -> _Answer:
    """Fetches a URL with several attempts, and longer and longer waits between them."""
    for attempt in range(ATTEMPTS):
        try:
            return _attempt(client, feed, url, validators, path, end)
        except _TryAgain as error:
            reason, pause = str(error), max(error.wait, float(2**attempt))
        if attempt + 1 == ATTEMPTS or time.monotonic() + pause > end:
            break
        wait(pause)
    raise FeedError(f"{public_url(url)}: {reason} (attempt {attempt + 1} of {ATTEMPTS})")


def _client(feed: Feed) -> httpx.Client:
    client = httpx.Client(
        timeout=feed.limits.timeout, follow_redirects=True, max_redirects=_REDIRECTS, headers=_HEADERS
    )
    client.event_hooks = {"request": [adding_headers(feed)]}
    return client


def _attempt(
    client: httpx.Client, feed: Feed, url: str, validators: Validators | None, path: Path, end: float
) -> _Answer:
    name = public_url(url)
    try:
        with client.stream("GET", url, headers=_conditions(validators)) as response:
            _check_way(response, name)
            if response.status_code == _NOT_MODIFIED and validators:
                return _Answer(response=response, fetched=Fetched(unchanged=True, validators=validators))
            _check_status(response, name)
            _store(response, path, feed, end)
            return _Answer(response=response, fetched=_fetched(response, path, feed))
    except httpx.TooManyRedirects:
        raise FeedError(f"{name}: redirects more than {_REDIRECTS} times") from None
    except (httpx.UnsupportedProtocol, httpx.InvalidURL):
        raise FeedError(f"{name}: is no http URL, or redirects to none") from None
    except httpx.TransportError as error:
        raise _TryAgain(_failure(error)) from None
    except httpx.RequestError as error:
        raise FeedError(f"{name}: {_failure(error)}") from None


def _failure(error: httpx.RequestError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "the server does not answer in time"
    return " ".join(_INTERNAL.sub("", str(error)).split()) or "the connection fails"


def _conditions(validators: Validators | None) -> dict[str, str]:
    """Returns the headers that ask for a feed only if it has changed (RFC 9110, section 13)."""
    headers = {}
    if validators and validators.etag:
        headers["if-none-match"] = validators.etag
    if validators and validators.last_modified:
        headers["if-modified-since"] = validators.last_modified
    return headers


def _check_way(response: httpx.Response, name: str) -> None:
    """Refuses a redirect from https to http, where anyone could change the feed."""
    schemes = [step.url.scheme for step in (*response.history, response)]
    if schemes != sorted(schemes):
        raise FeedError(f"{name}: redirects from https to http")


def _check_status(response: httpx.Response, name: str) -> None:
    status = response.status_code
    if status in _TRY_AGAIN or status >= _SERVER_ERROR:
        wait = retry_after(response.headers.get("retry-after", ""), datetime.now(UTC))
        raise _TryAgain(f"the server answers {status}", wait)
    if status not in _SUCCESSES:
        raise FeedError(f"{name}: the server answers {status}")


def retry_after(text: str, now: datetime) -> float:
    """Returns the seconds to wait that a header asks for, as a number or as a date (RFC 9110, section 10.2.3).

    At most a minute; 0 if the header is not there, or nothing of either kind.
    """
    if text.isascii() and text.isdecimal():
        return min(float(text), _MAX_WAIT)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):  # it raises all of them for texts that are no dates
        return 0.0
    seconds = (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
    return min(max(seconds.total_seconds(), 0.0), _MAX_WAIT)


def _store(response: httpx.Response, path: Path, feed: Feed, end: float) -> None:
    """Writes the body to a file as it was sent; a compressed one is decompressed when it is read."""
    name = public_url(feed.url)
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip", ""):
        raise FeedError(f"{name}: is encoded as {encoding[:20]!r}, which was not asked for")
    size = 0
    with path.open("wb") as file:
        for chunk in response.iter_raw():  # as it comes: a slow server must not get past the deadline
            size += len(chunk)
            if size > feed.limits.max_bytes:
                raise FeedError(f"{name}: is larger than {feed.limits.max_bytes} bytes (max_bytes)")
            if time.monotonic() > end:
                raise FeedError(f"{name}: takes longer than {feed.limits.deadline:g} seconds (deadline)")
            file.write(chunk)


def _fetched(response: httpx.Response, path: Path, feed: Feed) -> Fetched:
    steps = [unquote(step) for step in urlsplit(feed.url).path.split("/")]
    file = LocalFile(
        path=path,
        name=public_url(feed.url),
        base=steps[-1],
        folder=steps[-2] if steps[1:] else "",
        charset=_charset(response, feed),
    )
    validators = Validators(
        etag=response.headers.get("etag", ""),
        last_modified=response.headers.get("last-modified", ""),
        fingerprint=feed.fingerprint(),
    )
    return Fetched(files=check_files((file,), feed), validators=validators)


def _charset(response: httpx.Response, feed: Feed) -> str:
    """Returns the encoding of the text that the server names; empty for UTF-8, or if the feed declares another one.

    JSON has no charset but UTF-8 (RFC 8259, section 8.1), and a workbook is no text.
    """
    kind = Message()
    kind["content-type"] = response.headers.get("content-type", "")
    name = str(kind.get_param("charset", "")).strip().lower()
    if not name or feed.csv.encoding or FORMATS[feed.format].binary or kind.get_content_subtype().endswith("json"):
        return ""
    try:
        "".encode(name)
        codec = codecs.lookup(name).name
    except (LookupError, UnicodeError, ValueError):
        raise FeedError(f"{public_url(feed.url)}: has the charset {name[:40]!r}, which is unknown") from None
    return "" if codec in ("utf-8", "ascii") else codec
