"""Gets a feed over http into a temporary file."""

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from artemis_loader.errors import FeedError
from artemis_loader.feeds import Feed
from artemis_loader.files import Fetched, LocalFile, Validators, check_files

ATTEMPTS = 4
_MAX_WAIT = 60.0
_REDIRECTS = 5
_CHUNK = 1 << 16
_NOT_MODIFIED = 304
_TRY_AGAIN = (408, 425, 429)
_SERVER_ERROR = 500
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
    """Fetches with several attempts, and longer and longer waits between them.

    Raises:
        FeedError: the feed cannot be fetched, is too large, or is a page instead of a feed.
    """
    name = public_url(feed.url)
    end = time.monotonic() + feed.limits.deadline
    with _client(feed) as client:
        for attempt in range(ATTEMPTS):
            try:
                return _attempt(client, feed, validators, workdir / "download", end)
            except _TryAgain as error:
                reason, pause = str(error), max(error.wait, float(2**attempt))
            if attempt + 1 == ATTEMPTS or time.monotonic() + pause > end:
                break
            wait(pause)
    raise FeedError(f"{name}: {reason} (attempt {attempt + 1} of {ATTEMPTS})")


def _client(feed: Feed) -> httpx.Client:
    return httpx.Client(timeout=feed.limits.timeout, follow_redirects=True, max_redirects=_REDIRECTS, headers=_HEADERS)


def _attempt(client: httpx.Client, feed: Feed, validators: Validators | None, path: Path, end: float) -> Fetched:
    name = public_url(feed.url)
    try:
        with client.stream("GET", feed.url, headers=_conditions(validators)) as response:
            _check_way(response, name)
            if response.status_code == _NOT_MODIFIED and validators:
                return Fetched(unchanged=True, validators=validators)
            _check_status(response, name)
            _store(response, path, feed, end)
            return _fetched(response, path, feed)
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
    return " ".join(str(error).split()) or type(error).__name__


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
        text = response.headers.get("retry-after", "")  # a number of seconds, or a date
        wait = min(float(text), _MAX_WAIT) if text.isascii() and text.isdecimal() else 0.0
        raise _TryAgain(f"the server answers {status}", wait)
    if status != httpx.codes.OK:
        raise FeedError(f"{name}: the server answers {status}")


def _store(response: httpx.Response, path: Path, feed: Feed, end: float) -> None:
    """Writes the body to a file as it was sent; a compressed one is decompressed when it is read."""
    name = public_url(feed.url)
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip", ""):
        raise FeedError(f"{name}: is encoded as {encoding[:20]!r}, which was not asked for")
    size = 0
    with path.open("wb") as file:
        for chunk in response.iter_raw(_CHUNK):
            size += len(chunk)
            if size > feed.limits.max_bytes:
                raise FeedError(f"{name}: is larger than {feed.limits.max_bytes} bytes (max_bytes)")
            if time.monotonic() > end:
                raise FeedError(f"{name}: takes longer than {feed.limits.deadline:g} seconds (deadline)")
            file.write(chunk)


def _fetched(response: httpx.Response, path: Path, feed: Feed) -> Fetched:
    steps = [unquote(step) for step in urlsplit(feed.url).path.split("/")]
    file = LocalFile(path=path, name=public_url(feed.url), base=steps[-1], folder=steps[-2] if steps[1:] else "")
    validators = Validators(
        etag=response.headers.get("etag", ""),
        last_modified=response.headers.get("last-modified", ""),
        fingerprint=feed.fingerprint(),
    )
    return Fetched(files=check_files((file,), feed), validators=validators)
