"""The log stays readable, however often callers make the server fail."""

import logging

from artemis_server import supervisor
from artemis_server.logs import INTERVAL, Throttle


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


def test_every_worker_that_dies_is_logged() -> None:
    lines = Lines(Clock())
    log = logging_to(lines, supervisor.log.name)
    for number in (1, 2):
        log.error("worker %s ended", number)

    assert lines.texts == ["worker 1 ended", "worker 2 ended"]
