"""Fetching: local files, and http against a real server on this machine."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from artemis_loader.errors import FeedError
from artemis_loader.feeds import Feed, Limits, Source
from artemis_loader.fetch import http
from artemis_loader.fetch.http import public_url
from artemis_loader.fetch.sources import fetch
from artemis_loader.files import Fetched, Validators
from artemis_loader.reading import read
from artemis_loader.records import Record

LINE = b'{"id": "1", "name": "Expo", "at": "2024-03-09T10:00:00Z"}\n'
FIELDS = {
    "external_id": Source(key=("id",)),
    "name": Source(key=("name",)),
    "category": Source(file="stem"),
    "start_time": Source(key=("at",)),
    "end_time": Source(key=("at",)),
}


def feed_of(url: object, **limits: Any) -> Feed:
    return Feed(
        name="f",
        url=str(url),
        format="jsonl",
        entity="events",
        mode="refresh",
        fields=FIELDS,
        limits=Limits(**limits),
    )


@dataclass
class Answer:
    """The response to one request; a negative length promises more than is sent."""

    status: int = 200
    body: bytes = LINE
    headers: dict[str, str] = field(default_factory=dict)
    missing: int = 0
    hang: bool = False


class Server:
    """Answers requests with one answer after another, the last one again and again, and remembers them."""

    def __init__(self) -> None:
        self.answers = [Answer()]
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.hang:
            self.released.wait(10)
            return
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        if answer.status != 304:
            handler.send_header("Content-Length", str(len(answer.body) + answer.missing))
        handler.end_headers()
        if answer.status != 304:
            handler.wfile.write(answer.body)

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@dataclass
class Waits:
    """Takes the place of sleeping."""

    seconds: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def get(server: Server, tmp_path: Path) -> Callable[..., Fetched]:
    def fetched(
        *answers: Answer, path: str = "/css.jsonl", validators: Validators | None = None, **limits: Any
    ) -> Fetched:
        server.answers = list(answers) or server.answers
        return fetch(feed_of(server.url + path, **limits), validators, tmp_path, Waits())

    return fetched


def failure(fetching: Callable[[], object]) -> str:
    with pytest.raises(FeedError) as caught:
        fetching()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Local files


def test_a_file_is_taken_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "2024" / "css.jsonl.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(LINE))
    fetched = fetch(feed_of(path), None, tmp_path)
    [file] = fetched.files
    assert (str(path), "css", "css.jsonl.gz", "2024") == (file.name, file.stem, file.base, file.folder)
    assert (path, False, Validators()) == (file.path, fetched.unchanged, fetched.validators)
    assert path.stat().st_size == fetched.size


def test_a_glob_gives_its_files_in_order(tmp_path: Path) -> None:
    for name in ("b/2.jsonl", "a/9.jsonl", "a/x/1.jsonl", "b/other.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(LINE)
    (tmp_path / "a" / "folder.jsonl").mkdir()

    def found(glob: str) -> list[str]:
        return [str(file.path.relative_to(tmp_path)) for file in fetch(feed_of(tmp_path / glob), None, tmp_path).files]

    assert found("*/*.jsonl") == ["a/9.jsonl", "b/2.jsonl"]
    assert found("**/*.jsonl") == ["a/9.jsonl", "a/x/1.jsonl", "b/2.jsonl"]
    assert found("[b]/?.jsonl") == ["b/2.jsonl"]


def test_a_file_may_have_the_name_of_a_glob(tmp_path: Path) -> None:
    (tmp_path / "[a].jsonl").write_bytes(LINE)
    assert len(fetch(feed_of(tmp_path / "[a].jsonl"), None, tmp_path).files) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [("no.jsonl", "No such file or directory"), ("*.json", "no file matches"), ("", "Is a directory")],
)
def test_a_missing_file_fails(tmp_path: Path, name: str, reason: str) -> None:
    path = tmp_path / name
    assert f"{path}: {reason}" == failure(lambda: fetch(feed_of(path), None, tmp_path))


def test_a_page_among_the_files_fails_before_any_is_read(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_bytes(LINE)
    (tmp_path / "2.jsonl").write_text("<html>", encoding="utf-8")
    reason = failure(lambda: fetch(feed_of(tmp_path / "*.jsonl"), None, tmp_path))
    assert f"{tmp_path / '2.jsonl'}: is a page of HTML or XML, not a feed" == reason


# http


def test_a_feed_is_fetched_and_read(server: Server, get: Callable[..., Fetched]) -> None:
    fetched = get(path="/feeds/style%20sheets.jsonl?key=secret")
    [file] = fetched.files
    assert f"{server.url}/feeds/style%20sheets.jsonl" == file.name
    assert (file.stem, file.folder) == ("style sheets", "feeds")
    assert file.path.read_bytes() == LINE
    [record] = read(feed_of("x"), fetched)
    assert isinstance(record, Record)
    assert record.values[2] == "style sheets"
    assert server.requests[0][0] == "/feeds/style%20sheets.jsonl?key=secret"


@pytest.mark.parametrize("path", ["", "/", "/feed"])
def test_any_path_has_a_name(get: Callable[..., Fetched], path: str) -> None:
    [file] = get(path=path).files
    assert path.strip("/") == file.stem
    assert file.folder == ""


def test_a_compressed_feed_is_read(get: Callable[..., Fetched]) -> None:
    zipped = gzip.compress(LINE)
    for answer in (
        Answer(body=zipped, headers={"Content-Encoding": "gzip"}),
        Answer(body=zipped),
        Answer(body=gzip.compress(zipped), headers={"Content-Encoding": "gzip"}),
    ):
        assert len(list(read(feed_of("x"), get(answer)))) == 1


def test_an_encoding_that_was_not_asked_for_fails(server: Server, get: Callable[..., Fetched]) -> None:
    reason = failure(lambda: get(Answer(headers={"Content-Encoding": "br"})))
    assert reason.endswith("/css.jsonl: is encoded as 'br', which was not asked for")
    assert server.requests[0][1]["accept-encoding"] == "gzip"


TAG = {"ETag": '"v1"', "Last-Modified": "Sat, 09 Mar 2024 10:00:00 GMT"}


def test_an_unchanged_feed_is_not_fetched_again(server: Server, get: Callable[..., Fetched]) -> None:
    first = get(Answer(headers=TAG))
    assert (TAG["ETag"], TAG["Last-Modified"]) == (first.validators.etag, first.validators.last_modified)
    second = get(Answer(status=304), validators=first.validators)
    assert Fetched(unchanged=True, validators=first.validators) == second
    sent = [request[1] for request in server.requests]
    assert "if-none-match" not in sent[0]
    assert (TAG["ETag"], TAG["Last-Modified"]) == (sent[1]["if-none-match"], sent[1]["if-modified-since"])


def test_a_changed_feed_is_fetched_again(get: Callable[..., Fetched]) -> None:
    first = get(Answer(headers=TAG))
    second = get(Answer(headers={"ETag": '"v2"'}), validators=first.validators)
    assert (second.unchanged, second.validators.etag, second.validators.last_modified) == (False, '"v2"', "")
    assert len(second.files) == 1


def test_another_mapping_needs_the_feed_again(server: Server, tmp_path: Path) -> None:
    """The server would say that nothing has changed, and the rows would keep their old shape."""
    server.answers = [Answer(headers=TAG)]
    feed = feed_of(server.url)
    validators = fetch(feed, None, tmp_path).validators
    changed = replace(feed, fields=FIELDS | {"location": Source(constant="x")})
    fetch(changed, validators, tmp_path)
    fetch(replace(feed, schedule="0 0 * * *"), validators, tmp_path)
    assert ["if-none-match" in headers for _, headers in server.requests] == [False, False, True]


def test_a_server_that_says_unchanged_without_being_asked_fails(get: Callable[..., Fetched]) -> None:
    assert failure(lambda: get(Answer(status=304))).endswith("/css.jsonl: the server answers 304")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 204, 206])
def test_an_answer_that_will_not_change_is_not_asked_for_again(
    server: Server, get: Callable[..., Fetched], status: int
) -> None:
    reason = failure(lambda: get(Answer(status=status, body=b"")))
    assert f"{server.url}/css.jsonl: the server answers {status}" == reason
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_an_answer_that_may_pass_is_asked_for_again(server: Server, tmp_path: Path, status: int) -> None:
    server.answers = [Answer(status=status), Answer(status=status), Answer()]
    waits = Waits()
    assert len(fetch(feed_of(server.url), None, tmp_path, waits).files) == 1
    assert waits.seconds == [1, 2]


def test_the_attempts_come_to_an_end(server: Server, tmp_path: Path) -> None:
    server.answers = [Answer(status=503)]
    waits = Waits()
    reason = failure(lambda: fetch(feed_of(server.url), None, tmp_path, waits))
    assert f"{server.url}: the server answers 503 (attempt 4 of 4)" == reason
    assert (len(server.requests), waits.seconds) == (4, [1, 2, 4])


@pytest.mark.parametrize(
    ("asked", "seconds"), [("7", 7), ("0", 1), ("100000", 60), ("soon", 1), ("-5", 1), ("\u0662", 1)]
)
def test_a_server_may_ask_to_wait(server: Server, tmp_path: Path, asked: str, seconds: float) -> None:
    header = {"Retry-After": asked.encode().decode("latin-1")}
    server.answers = [Answer(status=429, headers=header), Answer()]
    waits = Waits()
    fetch(feed_of(server.url), None, tmp_path, waits)
    assert [seconds] == waits.seconds


def test_no_wait_goes_beyond_the_deadline(server: Server, tmp_path: Path) -> None:
    server.answers = [Answer(status=503, headers={"Retry-After": "30"})]
    waits = Waits()
    reason = failure(lambda: fetch(feed_of(server.url, deadline=5), None, tmp_path, waits))
    assert f"{server.url}: the server answers 503 (attempt 1 of 4)" == reason
    assert waits.seconds == []


def test_a_body_that_breaks_off_is_fetched_again(server: Server, get: Callable[..., Fetched]) -> None:
    [file] = get(Answer(body=LINE * 3, missing=10), Answer()).files
    assert file.path.read_bytes() == LINE
    assert len(server.requests) == 2
    reason = failure(lambda: get(Answer(missing=10)))
    assert "/css.jsonl: peer closed connection" in reason


def test_no_server_fails_after_all_attempts(server: Server, tmp_path: Path) -> None:
    server.close()
    waits = Waits()
    reason = failure(lambda: fetch(feed_of(server.url), None, tmp_path, waits))
    assert reason.startswith(f"{server.url}: ")
    assert reason.endswith(" (attempt 4 of 4)")
    assert waits.seconds == [1, 2, 4]


def test_a_silent_server_fails(get: Callable[..., Fetched]) -> None:
    reason = failure(lambda: get(Answer(hang=True), timeout=0.05))
    assert reason.endswith("/css.jsonl: the server does not answer in time (attempt 4 of 4)")


def test_a_slow_server_fails_at_the_deadline(get: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(0, 10_000, 100))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(moments)))
    for answer in (Answer(), Answer(body=b"{", missing=10)):  # the second one sends a part, and then nothing
        reason = failure(lambda: get(answer, deadline=60))  # noqa: B023
        assert reason.endswith("/css.jsonl: takes longer than 60 seconds (deadline)")


def test_a_redirect_is_followed(server: Server, get: Callable[..., Fetched]) -> None:
    [file] = get(Answer(status=302, headers={"Location": "/moved"}), Answer()).files
    assert [path for path, _ in server.requests] == ["/css.jsonl", "/moved"]
    assert f"{server.url}/css.jsonl" == file.name


def test_redirects_are_limited(server: Server, get: Callable[..., Fetched]) -> None:
    reason = failure(lambda: get(Answer(status=302, headers={"Location": "/round"})))
    assert reason.endswith("/css.jsonl: redirects more than 5 times")
    assert len(server.requests) == 6


def test_no_redirect_leads_from_https_to_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "example.com":
            return httpx.Response(302, headers={"location": "http://example.org/x"})
        return httpx.Response(200, stream=httpx.ByteStream(LINE))

    def client(_: Feed) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(answer), follow_redirects=True)

    monkeypatch.setattr(http, "_client", client)
    reason = failure(lambda: fetch(feed_of("https://example.com/x"), None, tmp_path))
    assert reason == "https://example.com/x: redirects from https to http"
    assert len(fetch(feed_of("http://example.com/x"), None, tmp_path).files) == 1


@pytest.mark.parametrize("place", ["file:///etc/hostname", "ftp://127.0.0.1/x", "http://[x", "http://a:b:c/"])
def test_a_redirect_out_of_the_web_is_refused(get: Callable[..., Fetched], place: str) -> None:
    reason = failure(lambda: get(Answer(status=302, headers={"Location": place})))
    assert "\n" not in reason
    assert "/css.jsonl: " in reason


def test_a_feed_that_is_too_large_fails(get: Callable[..., Fetched]) -> None:
    reason = failure(lambda: get(Answer(body=LINE * 1000), max_bytes=1000))
    assert reason.endswith("/css.jsonl: is larger than 1000 bytes (max_bytes)")
    bomb = gzip.compress(b" " * 10_000_000)
    answer = Answer(body=bomb, headers={"Content-Encoding": "gzip"})
    reason = failure(lambda: get(answer, max_bytes=100_000))
    assert reason.endswith("/css.jsonl: is larger than 100000 bytes (max_bytes)")


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/html"}])
def test_a_page_instead_of_a_feed_fails(get: Callable[..., Fetched], headers: dict[str, str]) -> None:
    reason = failure(lambda: get(Answer(body=b"\n<!doctype html><title>Sign in</title>", headers=headers)))
    assert reason.endswith("/css.jsonl: is a page of HTML or XML, not a feed")


def test_secrets_of_a_url_are_never_shown(server: Server, tmp_path: Path) -> None:
    server.answers = [Answer(status=404)]
    url = server.url.replace("http://", "http://user:word@") + "/x?token=word#word"
    reason = failure(lambda: fetch(feed_of(url), None, tmp_path))
    assert f"{server.url}/x: the server answers 404" == reason
    assert server.requests[0][1]["authorization"].startswith("Basic ")
    assert public_url("https://u:p@h:1/a/b?c#d") == "https://h:1/a/b"
