"""Excel: the rows of a sheet, and workbooks that are refused. They are made here by openpyxl."""

import gzip
import zipfile
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Any

import pytest
from artemis_loader.convert.row_by_row import compile_mapping
from artemis_loader.errors import FeedError
from artemis_loader.feeds import Feed
from artemis_loader.fetch.sources import fetch
from artemis_loader.files import open_file
from artemis_loader.formats.xlsx_sheet import read_sheet
from artemis_loader.reading import read

from tests.feeds import declare

openpyxl: Any = pytest.importorskip("openpyxl", reason="the extra xlsx is not installed")
CONFIG = """
[feeds.f]
url = "x.xlsx"
format = "xlsx"
entity = "events"
{more}
[feeds.f.fields]
external_id = "id"
name = {{ key = "name", default = "none" }}
start_time = {{ key = "from", default = "2024-01-01" }}
end_time = {{ key = "to", default = "2024-01-01" }}
"""
HEADER = ["id", "name", "from", "to"]


def feed_of(folder: Path, more: str = "") -> Feed:
    return declare(folder, CONFIG.format(more=more))


def save(folder: Path, rows: list[list[Any]], formats: dict[str, str] | None = None) -> None:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for cell, form in (formats or {}).items():
        book.active[cell].number_format = form
    book.save(folder / "x.xlsx")


def rows_of(folder: Path, more: str = "") -> list[Any]:
    feed = feed_of(folder, more)
    [file] = fetch(feed, None, folder).files
    with open_file(file, feed) as stream:
        return list(read_sheet(stream, file, feed))


def failure(folder: Path, more: str = "") -> str:
    with pytest.raises(FeedError) as caught:
        rows_of(folder, more)
    return str(caught.value).removeprefix(f"{folder / 'x.xlsx'}: ")


def test_cells_have_the_values_of_json(tmp_path: Path) -> None:
    values = [7, 1.5, True, " text ", clock(9, 30), None, "#N/A", timedelta(hours=30, minutes=5)]
    names = ["id", "name", "from", "to", "clock", "none", "wrong", "long"]
    save(tmp_path, [names, values])
    [(line, row)] = rows_of(tmp_path)
    expected = {"id": 7, "name": 1.5, "from": True, "to": "text", "clock": "09:30:00", "none": None, "wrong": None}
    assert (line, row) == (2, expected | {"long": "30:05:00"})


def test_a_date_is_a_day_and_a_time_is_a_moment(tmp_path: Path) -> None:
    day, moment = date(2024, 3, 9), datetime(2024, 3, 9, 18, 30)
    save(
        tmp_path, [HEADER, [1, "a", day, day], [2, "b", moment, moment]], {"C3": "yyyy-mm-dd h:mm", "D3": "d.m.y h:mm"}
    )
    feed = feed_of(tmp_path, 'time_zone = "Asia/Tokyo"')
    (_, first), (_, second) = rows_of(tmp_path)
    assert (first["from"], second["from"]) == (day, moment)
    convert = compile_mapping(feed, fetch(feed, None, tmp_path).files[0])
    start = datetime(2024, 3, 8, 15, tzinfo=UTC)
    times = [start, start + timedelta(days=1)]
    assert times == [datetime.fromtimestamp(int(value) / 1e6, UTC) for value in convert(first).values[5:7]]
    assert datetime.fromtimestamp(int(convert(second).values[5]) / 1e6, UTC) == datetime(2024, 3, 9, 9, 30, tzinfo=UTC)


def test_blank_rows_and_the_rows_before_the_header_are_skipped(tmp_path: Path) -> None:
    save(tmp_path, [["A title"], [], ["printed"], HEADER, [], [1], ["", " ", None, ""], [2], [None] * 9])
    assert [(line, row["id"]) for line, row in rows_of(tmp_path, "xlsx = { skip_lines = 3 }")] == [(6, 1), (8, 2)]


def test_a_sheet_is_chosen_by_its_name(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["other"])
    sheet = book.create_sheet("Bookings")
    sheet.append(HEADER)
    sheet.append([1])
    book.save(tmp_path / "x.xlsx")
    assert [line for line, _ in rows_of(tmp_path, 'xlsx = { sheet = "Bookings" }')] == [2]
    assert failure(tmp_path, 'xlsx = { sheet = "Rooms" }') == "has no sheet 'Rooms'; it has Sheet, Bookings"
    assert failure(tmp_path) == "has no column 'id'; its columns are other"
    book.worksheets[0].sheet_state = "hidden"
    book.active = 1
    book.save(tmp_path / "x.xlsx")
    assert [line for line, _ in rows_of(tmp_path)] == [2]


def test_an_empty_sheet_fails_unless_it_may_be_empty(tmp_path: Path) -> None:
    save(tmp_path, [])
    assert failure(tmp_path) == "is empty, without even a header"
    assert rows_of(tmp_path, "allow_empty = true") == []


def rewritten(folder: Path, part: str, change: Any) -> None:
    """Changes a part of the workbook, as a hostile program would."""
    save(folder, [HEADER, [1, "a"]])
    with zipfile.ZipFile(folder / "x.xlsx") as book:
        parts = {name: book.read(name) for name in book.namelist()}
    parts[part] = change(parts.get(part, b""))
    with zipfile.ZipFile(folder / "x.xlsx", "w", zipfile.ZIP_DEFLATED) as book:
        for name, data in parts.items():
            book.writestr(name, data)


SHEET = "xl/worksheets/sheet1.xml"


@pytest.mark.parametrize("part", [SHEET, "xl/workbook.xml", "_rels/.rels", "xl/sharedStrings.xml"])
def test_a_document_type_is_refused(tmp_path: Path, part: str) -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
    rewritten(tmp_path, part, lambda _: b"<!--" + b" " * 100_000 + b"-->" + bomb)
    assert failure(tmp_path) == f"{part} has a document type, which is not allowed"


def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    rewritten(tmp_path, SHEET, lambda data: data + b" " * 3_000_000)
    assert (tmp_path / "x.xlsx").stat().st_size < 20_000
    assert failure(tmp_path, "limits = { max_bytes = 1_000_000 }") == "is larger than 1000000 bytes (max_bytes)"


def test_a_part_that_is_kept_in_memory_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artemis_loader.formats.xlsx_sheet.MAX_PART", 20_000)
    rewritten(tmp_path, "xl/styles.xml", lambda data: data + b" " * 30_000)
    assert failure(tmp_path) == "xl/styles.xml is larger than 20000 bytes"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", b"id,name\n1,a\n", b"\xd0\xcf\x11\xe0 an old .xls"])
def test_what_is_no_workbook_fails(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.xlsx").write_bytes(content)
    assert failure(tmp_path) == "is not a workbook of Excel (.xlsx), or is damaged"


def test_a_workbook_that_a_server_compressed_is_read(tmp_path: Path) -> None:
    save(tmp_path, [HEADER, [1, "a"]])
    path = tmp_path / "x.xlsx"
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert [line for line, _ in rows_of(tmp_path)] == [2]


def test_a_sheet_that_is_not_xml_fails(tmp_path: Path) -> None:
    rewritten(tmp_path, SHEET, lambda data: data[: len(data) // 2])
    assert failure(tmp_path) == "is not a workbook of Excel (.xlsx), or is damaged"


def test_a_cell_far_away_costs_little(tmp_path: Path) -> None:
    far = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row><row r="9999999"><c r="A9999999"><v>1</v></c></row>'
    rewritten(tmp_path, SHEET, lambda data: data.replace(b"</sheetData>", far + b"</sheetData>"))
    assert [line for line, _ in rows_of(tmp_path)] == [2, 1_048_576]


def test_records_are_read(tmp_path: Path) -> None:
    save(tmp_path, [HEADER, [1, "a", date(2024, 3, 9), date(2024, 3, 9)], [2, "b", "soon", None]])
    feed = feed_of(tmp_path)
    record, reject = read(feed, fetch(feed, None, tmp_path))
    assert getattr(record, "external_id", "") == "1"
    assert getattr(reject, "line", 0) == 3
    assert "start_time: 'soon' is not a time" in getattr(reject, "reason", "")
