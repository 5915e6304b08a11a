"""Excel: the rows of a sheet, read as a stream by openpyxl, which the extra `xlsx` installs.

A workbook is a ZIP file of XML. Before it is opened, its parts are held against limits, and a part with a document type
is refused, because only that can declare entities (ECMA-376, part 2, forbids it).
"""

import io
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import date, datetime, time, timedelta
from importlib import import_module
from typing import Any, BinaryIO, cast
from xml.parsers import expat

from artemis_loader.errors import FeedError
from artemis_loader.feeds import Feed
from artemis_loader.files import LocalFile
from artemis_loader.formats.csv_table import check_header
from artemis_loader.formats.rows import Rows

MAX_ROWS = 1_048_576
"""Rows of a sheet in Excel."""
MAX_STRINGS = 64 << 20
"""Bytes of the texts that cells share, which are kept in memory."""
MAX_PART = 8 << 20
"""Bytes of any other part but the sheets, such as the styles; it is kept in memory."""
_SHEETS, _STRINGS = "xl/worksheets/", "xl/sharedStrings.xml"
_PIECE = 1 << 16
_GZIP = b"\x1f\x8b"


def read_sheet(stream: io.BufferedReader, file: LocalFile, feed: Feed) -> Rows:
    """Returns the rows as objects whose keys are the names of the columns, with the number of the row in the sheet.

    Rows without a value are skipped. A cell with an error, such as #N/A, is missing. A cell whose format shows no time
    of day is a date.

    Raises:
        FeedError: the file is no workbook, is too large, or lacks the sheet or a mapped column; or the extra is not
            installed.
    """
    try:
        openpyxl: Any = import_module("openpyxl")
        shows: Any = import_module("openpyxl.styles.numbers").is_datetime
    except ImportError:
        raise FeedError("the format xlsx needs an extra: pip install 'artemis-loader[xlsx]'") from None
    try:
        warnings.filterwarnings("ignore", module=r"openpyxl\.")  # it warns of what it does not know, such as charts
        with _seekable(stream, file) as data:
            _check_parts(data, feed.limits.max_bytes, file.name)
            with closing(openpyxl.load_workbook(data, read_only=True, data_only=True, keep_links=False)) as book:
                sheet = _sheet(book, feed, file)
                sheet.reset_dimensions()  # some programs write wrong ones
                yield from _rows(sheet.iter_rows(max_row=MAX_ROWS), feed, file, shows)
    except FeedError:
        raise
    except Exception as error:  # the library may raise anything
        raise FeedError(f"{file.name}: is not a workbook of Excel (.xlsx), or is damaged") from error


def _seekable(stream: io.BufferedReader, file: LocalFile) -> BinaryIO:
    """Returns the file itself, because a ZIP file begins at its end; a copy if a server sent it by gzip."""
    data = file.path.open("rb")
    if data.read(len(_GZIP)) == _GZIP:
        data.close()
        copy = tempfile.TemporaryFile()  # noqa: SIM115, the caller closes it
        shutil.copyfileobj(stream, copy)
        return cast("BinaryIO", copy)
    return data


def _check_parts(data: BinaryIO, max_bytes: int, name: str) -> None:
    with zipfile.ZipFile(data) as book:
        if sum(part.file_size for part in book.infolist()) > max_bytes:  # zipfile reads no more than that of a part
            raise FeedError(f"{name}: is larger than {max_bytes} bytes (max_bytes)")
        for part in book.infolist():
            limit = MAX_STRINGS if part.filename == _STRINGS else MAX_PART
            if part.filename.endswith((".xml", ".rels")):
                if part.file_size > limit and not part.filename.startswith(_SHEETS):
                    raise FeedError(f"{name}: {part.filename} is larger than {limit} bytes")
                _refuse_document_type(book, part, name)


class _Begun(Exception):
    """The first element was read: no document type can follow."""


def _refuse_document_type(book: zipfile.ZipFile, part: zipfile.ZipInfo, name: str) -> None:
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise FeedError(f"{name}: {part.filename} has a document type, which is not allowed")

    def begin(*_: object) -> None:
        raise _Begun

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = begin
    with book.open(part) as file, suppress(_Begun, expat.ExpatError):
        while data := file.read(_PIECE):
            parser.Parse(data, False)


def _sheet(book: Any, feed: Feed, file: LocalFile) -> Any:
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    if not sheets or (feed.xlsx.sheet and feed.xlsx.sheet not in sheets):
        raise FeedError(f"{file.name}: has no sheet {feed.xlsx.sheet!r}; it has {', '.join(sheets)[:300]}")
    if feed.xlsx.sheet:
        return sheets[feed.xlsx.sheet]
    first = next(iter(sheets.values()))
    return next((sheet for sheet in sheets.values() if sheet.sheet_state == "visible"), first)


def _rows(rows: Iterator[Any], feed: Feed, file: LocalFile, shows: Any) -> Rows:
    header: tuple[str, ...] = ()
    for line, cells in enumerate(rows, 1):
        if line <= feed.xlsx.skip_lines:
            continue
        values = [_value(cell, shows) for cell in cells]
        if all(value is None for value in values):
            continue
        if header:
            yield line, {name: value for name, value in zip(header, values, strict=False) if name}
        else:
            header = tuple("" if value is None else str(value) for value in values)
            check_header(header, feed, file)
    if not header and not feed.allow_empty:
        raise FeedError(f"{file.name}: is empty, without even a header")


def _value(cell: Any, shows: Any) -> Any:
    """Returns the value of a cell as JSON has it, or a date or datetime; None if it is blank."""
    value = cell.value
    if isinstance(value, str):
        return None if cell.data_type == "e" else value.strip() or None
    if isinstance(value, datetime) and shows(cell.number_format) == "date":
        return value.date()
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, time):
        return str(value)
    return value if isinstance(value, int | float | date) else None


def _duration(value: timedelta) -> str:
    """Returns a duration as Excel shows it: "30:05:00" for a day, six hours and five minutes."""
    sign, seconds = "-" if value < timedelta() else "", abs(value) // timedelta(seconds=1)
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
