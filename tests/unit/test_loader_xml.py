"""XML: what a record is, what is refused, and what it may cost."""

import tracemalloc
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pytest
from artemis_loader.errors import FeedError
from artemis_loader.fetch.sources import fetch
from artemis_loader.files import open_file
from artemis_loader.formats.rows import Fault
from artemis_loader.formats.xml_elements import read_elements
from artemis_loader.reading import read
from artemis_loader.records import Record
from hypothesis import given
from hypothesis import strategies as st

from tests.feeds import declare

CONFIG = """
[feeds.f]
url = "x.xml"
format = "xml"
entity = "events"
records = "{records}"
[feeds.f.fields]
external_id = "id"
name = "name"
start_time = "start"
end_time = "start"
"""


def items(folder: Path, data: bytes | str, records: str = "r/i") -> list[Any]:
    (folder / "x.xml").write_bytes(data.encode() if isinstance(data, str) else data)
    feed = declare(folder, CONFIG.format(records=records))
    [file] = fetch(feed, None, folder).files
    with open_file(file, feed) as stream:
        return list(read_elements(stream, file, feed))


def rows(folder: Path, data: bytes | str, records: str = "r/i") -> list[Any]:
    return [item[1] for item in items(folder, data, records)]


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ("<i/>", {"#text": ""}),
        ("<i>a</i>", {"#text": "a"}),
        ('<i id="7"><t lang="en">Expo</t></i>', {"@id": "7", "t": "Expo", "t@lang": "en"}),
        ("<i><t>a</t><t>b</t><t/></i>", {"t": ["a", "b", ""]}),
        ('<i><l href="x"/><l href="y"/></i>', {"l": ["", ""], "l@href": ["x", "y"]}),
        ("<i><p><c>Oslo</c> <d>1</d></p></i>", {"p": {"c": "Oslo", "d": "1", "#text": "Oslo 1"}}),
        ("<i><h>a<b>b</b>c</h></i>", {"h": {"b": "b", "#text": "abc"}}),
        ("<i><dc:a>x</dc:a><!-- no --><?no no?></i>", {"dc:a": "x"}),
        ("<i><t><![CDATA[<b> & ]]>&amp;&#228;</t></i>", {"t": "<b> & &ä"}),
        ("<i><i><i>deep</i></i></i>", {"i": {"i": "deep", "#text": "deep"}}),
    ],
)
def test_an_element_is_an_object(tmp_path: Path, element: str, expected: Any) -> None:
    assert [expected] == rows(tmp_path, f'<r xmlns:dc="d">{element}<j/></r>')


def test_only_elements_at_the_path_are_records(tmp_path: Path) -> None:
    data = "<r><i><t>1</t></i><a><i><t>2</t></i></a><i><t>3</t></i></r>"
    assert rows(tmp_path, data) == [{"t": "1"}, {"t": "3"}]
    assert rows(tmp_path, data, "r/a/i") == [{"t": "2"}]
    assert rows(tmp_path, data, "r") == [{"i": [{"t": "1", "#text": "1"}, {"t": "3", "#text": "3"}],
                                          "a": {"i": {"t": "2", "#text": "2"}, "#text": "2"}}]  # fmt: skip
    assert rows(tmp_path, "<r/>") == []


def test_a_record_has_its_line(tmp_path: Path) -> None:
    assert [line for line, _ in items(tmp_path, "<r>\n<i/>\n\n<i>\n</i><i/></r>")] == [2, 4, 5]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "cp1252"])
def test_the_declared_encoding_counts(tmp_path: Path, encoding: str) -> None:
    data = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?><r><i>Zoë</i></r>'
    assert rows(tmp_path, data.encode(encoding)) == [{"#text": "Zoë"}]


def test_names_of_html_in_old_files_are_understood(tmp_path: Path) -> None:
    kind = '<!DOCTYPE r PUBLIC "-//N//DTD RSS 0.91//EN" "http://127.0.0.1:1/rss.dtd">'
    data = f"{kind}<r><i>a&nbsp;b &eacute; &odd;</i></r>"
    assert rows(tmp_path, data) == [{"#text": "a\u00a0b é &odd;"}]


BOMB = '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><r><i>&b;</i></r>'
OUTSIDE = '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r><i>&x;</i></r>'
PARAMETER = '<!DOCTYPE r [<!ENTITY % x SYSTEM "http://127.0.0.1:1/x">%x;]><r><i/></r>'


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (BOMB, "line 1: declares the entity 'a', which is not allowed"),
        (OUTSIDE, "line 1: declares the entity 'x', which is not allowed"),
        (PARAMETER, "line 1: declares the entity 'x', which is not allowed"),
        ("<r><i></r>", "line 1: is not XML: mismatched tag"),
        ("<r>\n<i>", "line 2: is not XML: no element found"),
        ("", "line 1: is not XML: no element found"),
        ("<r><i>&nbsp;</i></r>", "line 1: is not XML: undefined entity"),
        (b"<r><i>\xff</i></r>", "line 1: is not XML: not well-formed (invalid token)"),
        ("<r/><r/>", "line 1: is not XML: junk after document element"),
        ("<x><i/></x>", "has no element r (records)"),
        ("<!DOCTYPE html><r><i/></r>", "is a page of HTML, not a feed"),
        ('<?xml version="1.0"?>\n<html><body/></html>', "is a page of HTML, not a feed"),
        ('<?xml version="1.0" encoding="klingon"?><r/>', "line 1: is not XML: unknown encoding"),
    ],
)
def test_a_file_that_cannot_be_trusted_fails(tmp_path: Path, data: bytes | str, reason: str) -> None:
    with pytest.raises(FeedError) as caught:
        items(tmp_path, data)
    assert f"{tmp_path / 'x.xml'}: {reason}" == str(caught.value)


def test_a_record_that_is_too_deep_is_a_reject_and_the_next_is_read(tmp_path: Path) -> None:
    deep = "<i>" + "<a>" * 40 + "</a>" * 40 + "</i>"
    fault, (_, row) = items(tmp_path, f"<r>{deep}<i>b</i></r>")
    assert isinstance(fault, Fault)
    assert (fault.reason, row) == ("has elements more than 32 deep", {"#text": "b"})


@pytest.mark.acceptance
def test_a_record_that_is_too_long_is_a_reject_and_takes_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artemis_loader.formats.xml_elements.MAX_RECORD", 100_000)
    tracemalloc.start()
    fault, (_, row) = items(tmp_path, f"<r><i>{'<t>abcdefgh</t>' * 100_000}</i><i>b</i></r>")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(fault, Fault)
    assert (fault.reason, row) == ("is longer than 100000 characters", {"#text": "b"})
    assert peak < 6_000_000  # 1.5 MB of them are the file


def test_a_tag_that_is_too_long_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artemis_loader.formats.xml_elements.MAX_RECORD", 100_000)
    with pytest.raises(FeedError, match="a tag or a comment is longer than 100000 bytes"):
        items(tmp_path, f'<r><i a="{"x" * 1_000_000}"/></r>')


def test_records_before_the_error_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_text("<r><i><id>1</id><name>a</name><start>2024-01-01</start></i><i>", encoding="utf-8")
    feed = declare(tmp_path, CONFIG.format(records="r/i"))
    reading = read(feed, fetch(feed, None, tmp_path))
    first = next(reading)
    assert isinstance(first, Record)
    assert first.external_id == "1"
    with pytest.raises(FeedError):
        next(reading)


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"))


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "dc:c"]), TEXTS, min_size=1), max_size=5))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, str]]) -> None:
    written = "".join(
        f"<i k={quoteattr(record.get('a', ''))}>"
        + "".join(f"<{key}>{escape(text)}</{key}>" for key, text in record.items())
        + "</i>"
        for record in records
    )
    found = rows(tmp_path_factory.mktemp("xml"), f"<r>{written}</r>")
    assert found == [
        {"@k": record.get("a", "")} | {key: text.strip() for key, text in record.items()} for record in records
    ]
