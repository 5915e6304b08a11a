"""The log stays readable, however often callers make the server fail."""

import json
import logging
import re
from typing import Any

import pytest
from artemis_server import supervisor
from artemis_server.access import files
from artemis_server.logs import INTERVAL, Formatter, Throttle, utc


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
