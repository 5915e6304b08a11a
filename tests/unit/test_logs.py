"""The log stays readable, however often callers make the server fail."""

import json
import logging
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from artemis_server import logs, supervisor
from artemis_server.access import files
from artemis_server.logs import INTERVAL, MAX_KINDS, Formatter, Output, Throttle, utc


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Lines(logging.Handler):
    """A log that a test reads."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.addFilter(Throttle(clock))
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def logging_to(lines: Lines, name: str = "test") -> logging.Logger:
    logger = logging.Logger(name)
    logger.addHandler(lines)
    return logger


def fail(log: logging.Logger, cause: str) -> None:
    log.error("the database failed: %s", cause)


def test_the_same_failure_is_logged_once_a_second_with_a_count() -> None:
    clock = Clock()
    lines = Lines(clock)
    log = logging_to(lines)
    for number in range(4):
        fail(log, f"cause {number}")
    clock.now += INTERVAL
    fail(log, "cause 4")
    clock.now += INTERVAL
    fail(log, "cause 5")

    assert lines.texts == [
        "the database failed: cause 0",
        "the database failed: cause 4 (and 3 like it since the last line)",
        "the database failed: cause 5",
    ]


def test_another_failure_is_logged_at_once() -> None:
    lines = Lines(Clock())
    log = logging_to(lines)
    fail(log, "first")
    for error in (ValueError(), TypeError(), ValueError()):
        log.error("request failed", exc_info=(type(error), error, None))
    log.warning("something else")

    assert lines.texts == ["the database failed: first", "request failed", "request failed", "something else"]


def test_one_line_of_code_may_log_about_different_things() -> None:
    lines = Lines(Clock())
    log = logging_to(lines)
    for thing in ("id = ?", "name = ?", "id = ?"):
        log.warning("slow: %s", thing, extra={"alike": thing})

    assert lines.texts == ["slow: id = ?", "slow: name = ?"]


def test_things_without_end_do_not_fill_the_memory() -> None:
    """Callers can make up as many filters as they like."""
    clock = Clock()
    throttle = Throttle(clock)
    for number in range(3 * MAX_KINDS):
        clock.now += 2 * INTERVAL / MAX_KINDS
        warning = logging.LogRecord("test", logging.WARNING, "", 0, "slow", (), None)
        warning.alike = number
        assert throttle.filter(warning)
    assert len(throttle._logged) <= MAX_KINDS


def test_what_is_no_failure_is_always_logged() -> None:
    lines = Lines(Clock())
    log = logging_to(lines)
    for number in range(3):
        log.info("serving %d", number)

    assert lines.texts == ["serving 0", "serving 1", "serving 2"]


@pytest.mark.parametrize("name", [supervisor.log.name, files.log.name])
def test_every_worker_that_dies_and_every_file_that_is_broken_is_logged(name: str) -> None:
    lines = Lines(Clock())
    log = logging_to(lines, name)
    for number in (1, 2):
        log.error("number %s is broken", number)

    assert lines.texts == ["number 1 is broken", "number 2 is broken"]


def record(message: str, error: Exception | None = None, **fields: Any) -> logging.LogRecord:
    raised = (type(error), error, None) if error else None
    made = logging.LogRecord("artemis_server.access", logging.INFO, "", 0, message, (), raised)
    made.created = 1795669200.1239
    if fields:
        made.fields = fields
    return made


def test_times_are_in_utc_with_their_offset() -> None:
    assert utc(1795669200.1239) == "2026-11-26T05:00:00.123+00:00"
    assert utc(1795669200.9999) == "2026-11-26T05:00:00.999+00:00"


def test_a_console_has_the_fields_after_the_message() -> None:
    line = Formatter("console").format(record("token used", principal="billing", text="two words", count=3))
    assert line == (
        "2026-11-26T05:00:00.123+00:00 INFO artemis_server.access: "
        'token used principal=billing text="two words" count=3'
    )


def test_json_has_the_fields_at_the_top_and_they_replace_nothing() -> None:
    formatter = Formatter("json")
    formatter.worker = 2
    line = json.loads(formatter.format(record('said "no"\n', principal="é", level="DEBUG")))
    assert line == {
        "time": "2026-11-26T05:00:00.123+00:00",
        "level": "INFO",
        "logger": "artemis_server.access",
        "message": 'said "no"\n',
        "worker": 2,
        "principal": "é",
    }


def test_a_stack_trace_is_one_field_in_json_and_lines_in_a_console() -> None:
    in_json = json.loads(Formatter("json").format(record("failed", ValueError("bad"))))
    assert in_json["exception"] == "ValueError: bad"
    assert Formatter("console").format(record("failed", ValueError("bad"))).splitlines()[1:] == ["ValueError: bad"]


def test_a_worker_is_named() -> None:
    formatter = Formatter("console")
    formatter.worker = 7
    assert re.search(r" INFO worker 7: artemis_server\.access: x$", formatter.format(record("x")))


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, Output]]:
    """The end to read of a pipe, and a log that writes to it and keeps ten kilobytes."""
    monkeypatch.setattr(logs, "MAX_WAITING", 10_000)
    read, write = os.pipe()
    yield read, Output(write, lambda lost: f"{lost} lost\n")
    os.close(read)
    with suppress(OSError):
        os.close(write)


def test_nobody_waits_for_a_reader_of_the_log(pipe: tuple[int, Output]) -> None:
    """Lines that the pipe does not take wait; later ones are lost, and the log counts them once it is read again."""
    read, output = pipe
    line = "x" * 99 + "\n"
    for _ in range(1000):
        output.write(line)
    lost = output.take_lost()
    kept = 1000 - lost
    assert 0 < lost < 1000
    text = ""
    while len(text) < kept * 100:
        text += os.read(read, 2**20).decode()
        output.flush()
    assert text == line * kept
    output.write("more\n")
    assert os.read(read, 2**20).decode() == f"{lost} lost\nmore\n"
    output.write("and more\n")
    assert os.read(read, 2**20).decode() == "and more\n"


def test_lines_are_written_in_parts_that_a_pipe_takes_as_a_whole(pipe: tuple[int, Output]) -> None:
    read, output = pipe
    lines = "".join(f"{number:0>1000}\n" for number in range(9)) + "é" * 300 + "\n"
    assert [len(part) for part in logs._pieces(lines.encode())] == [4004, 4004, 1001 + 601]
    assert [len(part) for part in logs._pieces(b"x" * 5000)] == [4096, 904]
    output.write(lines)
    assert os.read(read, 2**20).decode() == lines


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is full")
def test_a_log_that_cannot_be_written_is_no_error() -> None:
    """The disk is full, or the reader is gone."""
    with open("/dev/full", "wb", buffering=0) as full:
        output = Output(full.fileno(), str)
        for _ in range(3):
            output.write("line\n")
    assert output.take_lost() >= 3


def test_a_process_that_ends_gives_the_reader_some_time(
    pipe: tuple[int, Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, output = pipe
    lines = "x" * 99_999 + "\n"
    monkeypatch.setattr(logs, "MAX_WAITING", len(lines))
    output.write(lines)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: "".join(os.read(read, 10_000).decode() for _ in range(10)))
        output.flush(60)
        assert len(reading.result()) > 2**16
