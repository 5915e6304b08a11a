"""Headers, tokens, pages, charsets and waiting, against a real server on this machine."""

import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from artemis_loader.errors import ConfigError, FeedError
from artemis_loader.feeds import Feed, Http, Secret
from artemis_loader.fetch.credentials import headers_of, is_home, origin
from artemis_loader.fetch.http import retry_after
from artemis_loader.fetch.paging import linked
from artemis_loader.fetch.sources import fetch
from artemis_loader.files import Fetched, Validators
from artemis_loader.reading import read
from artemis_loader.records import Record

from tests.feeds import declare
from tests.unit.test_loader_sources import Answer, Server, Waits, failure

CONFIG = """
[feeds.f]
url = "{url}"
format = "{form}"
entity = "events"
{more}
[feeds.f.fields]
external_id = "id"
name = "name"
start_time = "at"
end_time = "at"
"""
TOKEN = "s3cret-t0ken"


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def other() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def declared(server: Server, tmp_path: Path) -> Callable[..., Feed]:
    def declare_remote(http: str = "", form: str = "jsonl", path: str = "/x", more: str = "") -> Feed:
        if http:
            more = f"{more}\n[feeds.f.http]\n{http}"
        return declare(tmp_path, CONFIG.format(url=server.url + path, form=form, more=more))

    return declare_remote


def fetched(feed: Feed, folder: Path, *answers: Answer, server: Server, waits: Waits | None = None) -> Fetched:
    server.answers = list(answers) or server.answers
    return fetch(feed, None, folder, waits or Waits())


def names(feed: Feed, found: Fetched) -> list[str]:
    return [str(item.values[0]) for item in read(feed, found) if isinstance(item, Record)]


def line(number: int, name: str = "Expo") -> bytes:
    return f'{{"id": "{number}", "name": "{name}", "at": "2024-03-09T10:00:00Z"}}\n'.encode()


def page(number: int, cursor: str) -> bytes:
    return b'{"data": [' + line(number, f"n{number}") + b'], "meta": {"next": ' + cursor.encode() + b"}}"


# Headers and tokens


def test_secrets_come_from_the_environment_and_from_files(
    server: Server, declared: Callable[..., Feed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEED_TOKEN", f" {TOKEN}\n")
    (tmp_path / "key").write_text("from-file\n", encoding="utf-8")
    feed = declared('bearer = { env = "FEED_TOKEN" }\nheaders = { accept = "a/b", X-Key = { file = "key" } }')
    fetched(feed, tmp_path, server=server)
    [(_, sent)] = server.requests
    assert (sent["authorization"], sent["x-key"], sent["accept"]) == (f"Bearer {TOKEN}", "from-file", "a/b")
    assert TOKEN not in repr(feed)


def test_a_redirect_to_another_host_gets_no_secret(
    server: Server,
    other: Server,
    declared: Callable[..., Feed],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("FEED_TOKEN", TOKEN)
    feed = declared('bearer = { env = "FEED_TOKEN" }\nheaders = { x-key = { env = "FEED_TOKEN" }, accept = "a/b" }')
    inside, outside = Answer(302, b"", {"Location": "/y"}), Answer(302, b"", {"Location": f"{other.url}/z"})
    other.answers = [Answer(302, b"", {"Location": f"{server.url}/back"})]
    fetched(feed, tmp_path, inside, outside, Answer(), server=server)
    assert [path for path, _ in server.requests] == ["/x", "/y", "/back"]
    assert [sent["x-key"] for _, sent in server.requests] == [TOKEN] * 3
    [(_, sent)] = other.requests
    assert (sent.get("authorization"), sent.get("x-key"), sent["accept"]) == (None, None, "a/b")
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    ("home", "target", "expected"),
    [
        ("https://h/a", "https://h:443/b", True),
        ("http://h/a", "https://h/b", True),
        ("https://H/a", "https://h/b", True),
        ("https://h/a", "http://h/b", False),
        ("https://h/a", "https://h:444/b", False),
        ("http://h:81/a", "https://h/b", False),
        ("https://h/a", "https://h.evil/b", False),
        ("https://h/a", "https://x@h2/b", False),
        ("https://h/a", "https://evil@h/b", True),
    ],
)
def test_home_is_one_host(home: str, target: str, expected: bool) -> None:
    assert expected is is_home(origin(home), origin(target))


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        (Secret(env="NO"), "http.bearer: the variable NO of the environment is empty or not there"),
        (Secret(env="BAD"), "http.bearer: the secret is no value of a header"),
        (Secret(file="/nowhere/token"), "http.bearer: /nowhere/token: No such file or directory"),
        (Secret(file="/dev/null"), "http.bearer: the file /dev/null is empty or not there"),
    ],
)
def test_a_secret_that_cannot_be_sent_fails_without_telling_it(secret: Secret, reason: str) -> None:
    with pytest.raises(FeedError) as caught:
        headers_of(Http(bearer=secret), {"BAD": f"{TOKEN}\nX: y"})
    assert str(caught.value).startswith(reason)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("http", "reason"),
    [
        ('bearer = "abc"', "http.bearer: must be a table"),
        ("bearer = {}", "http.bearer: needs exactly one of env, file"),
        ('headers = { x-key = "abc" }', "http.headers.x-key: must come from"),
        ('headers = { Authorization = "Basic abc" }', "http.headers.Authorization: must come from"),
        ('headers = { cookie = "abc" }', "http.headers.cookie: must come from"),
        ('headers = { host = "h" }', "http.headers.host: is no header that a feed can set"),
        ('headers = { "a b" = "h" }', "http.headers.a b: is no header that a feed can set"),
        ('headers = { accept = "a\\nb" }', "http.headers.accept: must be printable ASCII"),
        ('headers = { accept = "a", Accept = "b" }', "http.headers.Accept: stands here twice"),
        ('bearer = { env = "A" }\nheaders = { authorization = { env = "B" } }', "http.bearer: is another header"),
        ("pages = {}", "http.pages: needs exactly one of next, cursor"),
        ('pages = { next = "body" }', "http.pages.next: must be one of link"),
        ('pages = { cursor = "a" }', "http.pages.cursor: means nothing for the format jsonl"),
        ('pages = { next = "link", parameter = "a" }', "http.pages.parameter: means nothing without cursor"),
        ('pages = { next = "link", max_pages = 0 }', "http.pages.max_pages: must be from 1"),
        ("retries = 3", "http.retries: unknown key"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(declared: Callable[..., Feed], http: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        declared(http)
    assert f"feeds.f.{reason}" in str(caught.value)
    assert "abc" not in str(caught.value)


# Pages


def test_the_header_link_leads_from_page_to_page(server: Server, declared: Callable[..., Feed], tmp_path: Path) -> None:
    feed = declared('pages = { next = "link" }', path="/x?size=1")
    first = Answer(200, line(1, "a"), {"Link": '</x?page=2>; rel="next", </x?page=9>; rel="last"', "ETag": '"1"'})
    second = Answer(200, line(2, "b"), {"Link": f"<{server.url}/x?page=3>; rel=next"})
    found = fetched(feed, tmp_path, first, second, Answer(200, line(3, "c")), server=server)
    assert names(feed, found) == ["a", "b", "c"]
    assert [path for path, _ in server.requests] == ["/x?size=1", "/x?page=2", "/x?page=3"]
    assert found.validators == Validators()
    assert [re.sub(".*/", "", file.name) for file in found.files] == ["x (page 1)", "x (page 2)", "x (page 3)"]


@pytest.mark.parametrize(
    ("values", "url"),
    [
        (["</b>; rel=next"], "/b"),
        (['</a>; rel=prev, </b>; title="x, <c>"; REL="last Next"'], "/b"),
        (["</a>; rel=prev", "< /b;v=1,2 >;type=x;rel=next"], "/b;v=1,2"),
        (['</a>; title="rel=next"; rel=prev', "</b>;rel = next"], "/b"),
        (['</a>; title="; rel=next"; rel=prev, </b>; title="\\"; rel=last; \\""; rel=next'], "/b"),
        (["</b>; title*=UTF-8''n%c3%a4chste; crossorigin; rel=next"], "/b"),
        (["</a>; rel=prev; rel=next", "</a>; rel*=next"], ""),
        (["</a>; rel=nextish", "</a>; norel=next", "rel=next", "<</", '</a>; x="'], ""),
        ([], ""),
    ],
)
def test_a_link_is_found_in_any_notation(values: list[str], url: str) -> None:
    assert url == linked(values)


@pytest.mark.parametrize("end", ["null", '""', "false"])
def test_a_cursor_in_the_answer_leads_from_page_to_page(
    server: Server, declared: Callable[..., Feed], tmp_path: Path, end: str
) -> None:
    pages = 'pages = { cursor = "meta.next", parameter = "after" }'
    feed = declared(pages, form="json", path="/x?size=1", more='records = "data"')
    answers = [Answer(body=page(1, '"a b&c"')), Answer(body=page(2, "17")), Answer(body=page(3, end))]
    assert names(feed, fetched(feed, tmp_path, *answers, server=server)) == ["n1", "n2", "n3"]
    assert [path for path, _ in server.requests] == ["/x?size=1", "/x?size=1&after=a+b%26c", "/x?size=1&after=17"]


def test_a_url_in_the_answer_leads_to_the_next_page(
    server: Server, declared: Callable[..., Feed], tmp_path: Path
) -> None:
    feed = declared('pages = { cursor = "meta.next" }', form="json", more='records = "data"')
    answers = [Answer(body=page(1, '"/x/2"')), Answer(body=b'{"data": []}')]
    assert names(feed, fetched(feed, tmp_path, *answers, server=server)) == ["n1"]
    assert [path for path, _ in server.requests] == ["/x", "/x/2"]


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("</x>; rel=next", "page 1 leads back to an earlier one"),
        ("<http://127.0.0.1:1/x>; rel=next", "the next page is on another host, port or scheme"),
        ("<file:///etc/passwd>; rel=next", "the next page is on another host, port or scheme"),
        ("<http://127.0.0.1:99999/x>; rel=next", "the next page has no URL that can be used"),
    ],
)
def test_a_page_that_leads_astray_fails(
    server: Server, declared: Callable[..., Feed], tmp_path: Path, link: str, reason: str
) -> None:
    feed = declared('pages = { next = "link" }')
    found = failure(lambda: fetched(feed, tmp_path, Answer(headers={"Link": link}), server=server))
    assert f"{server.url}/x: {reason}" == found


def test_pages_without_end_fail_at_the_limit(server: Server, declared: Callable[..., Feed], tmp_path: Path) -> None:
    pages = 'pages = { cursor = "meta.next", parameter = "c", max_pages = 3 }'
    feed = declared(pages, form="json", more='records = "data"')
    answers = [Answer(body=page(number, str(number))) for number in range(1, 6)]
    reason = failure(lambda: fetched(feed, tmp_path, *answers, server=server))
    assert f"{server.url}/x: has more than 3 pages (max_pages)" == reason
    assert len(server.requests) == 3


def test_a_cursor_that_comes_again_fails(server: Server, declared: Callable[..., Feed], tmp_path: Path) -> None:
    feed = declared('pages = { cursor = "meta.next", parameter = "c" }', form="json", more='records = "data"')
    answers = [Answer(body=page(number, f'"{number % 2}"')) for number in range(3)]
    assert "page 3 leads back to an earlier one" in failure(lambda: fetched(feed, tmp_path, *answers, server=server))


def test_all_pages_together_are_limited(server: Server, declared: Callable[..., Feed], tmp_path: Path) -> None:
    limits = "[feeds.f.limits]\nmax_bytes = 100\n"
    feed = declared('pages = { next = "link" }', more=limits)
    answers = [Answer(200, line(n), {"Link": f"</x/{n}>; rel=next"}) for n in range(9)]
    assert "is larger than 100 bytes (max_bytes)" in failure(lambda: fetched(feed, tmp_path, *answers, server=server))


def test_a_cursor_that_is_none_fails(server: Server, declared: Callable[..., Feed], tmp_path: Path) -> None:
    feed = declared('pages = { cursor = "meta.next", parameter = "c" }', form="json", more='records = "data"')
    for cursor in ("{}", "[1]", "true", "1.5"):
        reason = failure(lambda: fetched(feed, tmp_path, Answer(body=page(1, cursor)), server=server))  # noqa: B023
        assert "meta.next is no cursor: a text or a whole number (http.pages.cursor)" in reason


# Answers


def test_an_answer_that_a_proxy_changed_is_taken(server: Server, declared: Callable[..., Feed], tmp_path: Path) -> None:
    feed = declared()
    assert names(feed, fetched(feed, tmp_path, Answer(203), server=server)) == ["Expo"]


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("700", 60.0),
        (format_datetime(NOW + timedelta(seconds=9), usegmt=True), 9.0),
        (format_datetime(NOW + timedelta(hours=9), usegmt=True), 60.0),
        (format_datetime(NOW - timedelta(hours=9), usegmt=True), 0.0),
        ("Thu, 01 Jan 2026 00:00:05 -0000", 5.0),
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("Thu, 99 Jan 2026 00:00:05 GMT", 0.0),
        ("\u0667", 0.0),
    ],
)
def test_the_server_says_when_to_try_again(text: str, seconds: float) -> None:
    assert seconds == retry_after(text, NOW)


@pytest.mark.parametrize(
    ("kind", "form", "encoding", "head"),
    [
        ("text/csv; charset=iso-8859-1", "csv", "iso-8859-1", "id,name,at\n"),
        ('text/csv; charset="WINDOWS-1252"', "csv", "cp1252", "id,name,at\n"),
        ("text/csv; charset=utf-16", "csv", "utf-16", "id,name,at\n"),
        ("text/csv; charset=shift_jis", "csv", "shift_jis", "id,name,at\n"),
        ("text/csv", "csv", "utf-8", "id,name,at\n"),
        ("text/csv; charset=UTF-8", "csv", "utf-8-sig", "id,name,at\n"),
        ("application/json; charset=iso-8859-1", "jsonl", "utf-8", ""),
        ("text/plain; charset=iso-8859-1", "jsonl", "iso-8859-1", ""),
    ],
)
def test_the_text_has_the_charset_that_the_server_names(
    server: Server, declared: Callable[..., Feed], tmp_path: Path, kind: str, form: str, encoding: str, head: str
) -> None:
    name = "カフェ" if encoding == "shift_jis" else "Café"
    body = f"{head}1,{name},2024-03-09\n" if form == "csv" else line(1, name).decode()
    feed = declared(form=form)
    found = fetched(feed, tmp_path, Answer(200, body.encode(encoding), {"Content-Type": kind}), server=server)
    assert names(feed, found) == [name]


def test_the_declared_encoding_counts_more(server: Server, declared: Callable[..., Feed], tmp_path: Path) -> None:
    feed = declared(form="csv", more='[feeds.f.csv]\nencoding = "cp1252"')
    body = "id,name,at\n1,Café €,2024-03-09\n".encode("cp1252")
    answer = Answer(200, body, {"Content-Type": "text/csv; charset=utf-8"})
    assert names(feed, fetched(feed, tmp_path, answer, server=server)) == ["Café €"]


def test_an_unknown_charset_fails(server: Server, declared: Callable[..., Feed], tmp_path: Path) -> None:
    answer = Answer(headers={"Content-Type": "text/plain; charset=klingon"})
    reason = failure(lambda: fetched(declared(), tmp_path, answer, server=server))
    assert f"{server.url}/x: has the charset 'klingon', which is unknown" == reason


def test_bytes_that_the_charset_does_not_have_are_rejects(
    server: Server, declared: Callable[..., Feed], tmp_path: Path
) -> None:
    body = b"id,name,at\n1,a\x81b,2024-03-09\n2,ok,2024-03-09\n"
    feed = declared(form="csv")
    found = fetched(feed, tmp_path, Answer(200, body, {"Content-Type": "text/csv; charset=cp1252"}), server=server)
    reject, record = read(feed, found)
    assert getattr(reject, "reason", "") == "is not in the encoding of the feed"
    assert isinstance(record, Record)


@pytest.mark.parametrize(
    ("url", "expected"), [("webcal://h/c.ics", "https://h/c.ics"), ("WEBCALS://h/c", "https://h/c")]
)
def test_a_calendar_to_subscribe_to_is_fetched_by_https(tmp_path: Path, url: str, expected: str) -> None:
    assert expected == declare(tmp_path, f'[feeds.f]\nurl = "{url}"\nformat = "ics"\nentity = "events"').url


def test_requests_of_a_file_mean_nothing(tmp_path: Path) -> None:
    text = CONFIG.format(url="x.jsonl", form="jsonl", more='[feeds.f.http]\nheaders = { accept = "a" }')
    with pytest.raises(ConfigError, match=re.escape("feeds.f.http: means nothing for a file")):
        declare(tmp_path, text)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://host.invalid/x"])
def test_a_connection_that_fails_is_told_without_numbers_of_errors(tmp_path: Path, url: str) -> None:
    feed = declare(tmp_path, CONFIG.format(url=url, form="jsonl", more=""))
    reason = failure(lambda: fetch(feed, None, tmp_path, Waits()))
    assert reason.startswith(f"{url}: ")
    assert reason.endswith(" (attempt 4 of 4)")
    assert not re.search(r"Errno|_ssl|Error\b", reason)
