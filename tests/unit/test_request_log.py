"""The request log: which calls have a line, what is in it, and that no call waits for it."""

import json
import logging
import random
import threading
import time
from typing import Any

import grpc
import pytest
from artemis_server.access.principal import Principal
from artemis_server.logs import Formatter
from artemis_server.telemetry import request_log
from artemis_server.telemetry.request_log import MAX_FAILURES, RequestLog

from tests.e2e.servers import PATIENCE

Code = grpc.StatusCode


class Call:
    """The part of a call that the log reads."""

    method = "/artemis.v1.EventService/GetEvent"
    peer = "ipv4:127.0.0.1:50000"
    request_id = "abc"
    request_bytes = 2
    answer_size = 75
    trace_id = ""
    reason = ""
    principal: Principal | None = None
    code: Code = Code.OK

    def __init__(self, seconds: float = 0.0, **values: Any) -> None:
        self.began = time.monotonic() - seconds
        vars(self).update(values)


class Output:
    """The stream of a log, and the lines that were left out."""

    def __init__(self) -> None:
        self.text = ""
        self.omitted = 0
        self.open = threading.Event()
        self.open.set()
        self.waits = threading.Event()

    def write(self, text: str) -> int:
        self.waits.set()
        assert self.open.wait(PATIENCE)
        self.text += text
        return 0

    def omit(self, lines: int) -> None:
        self.omitted += lines

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def output() -> Output:
    return Output()


def log_to(
    output: Output, form: str = "json", *, level: int = logging.INFO, sample: float = 1.0, slow: float = 1.0
) -> RequestLog:
    log = RequestLog(Formatter(form), output.write, level=level, sample=sample, slow=slow, omitted=output.omit)
    log.start()
    return log


def logged(output: Output, *calls: Call, **settings: Any) -> list[dict[str, Any]]:
    """Returns the lines about these calls, without what differs each time."""
    log = log_to(output, **settings)
    for call in calls:
        log.ended(call)  # type: ignore[arg-type]
    log.stop()
    return [
        {key: value for key, value in line.items() if key not in ("time", "duration_ms")} for line in output.lines()
    ]


def test_a_line_has_the_call_and_its_caller(output: Output) -> None:
    principal = Principal(name="billing", role=2)
    call = Call(0.25, principal=principal, trace_id="0af7651916cd43dd8448eb211c80319c")
    log = log_to(output)
    log.ended(call)  # type: ignore[arg-type]
    log.stop()
    (line,) = output.lines()
    assert line.pop("time").endswith("+00:00")
    assert 250 <= line.pop("duration_ms") < 1000 * PATIENCE
    assert line == {
        "level": "INFO",
        "logger": "artemis_server.requests",
        "message": "call",
        "method": "artemis.v1.EventService/GetEvent",
        "code": "OK",
        "request_id": "abc",
        "request_bytes": 2,
        "response_bytes": 75,
        "principal": "billing",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }


@pytest.mark.parametrize("hostile", ['"', "\\", '",\n"level":"ERROR', "\x1b[2J", "ünïcode", "a=b", "two words", "\0"])
def test_hostile_text_stays_in_its_field(output: Output, hostile: str) -> None:
    (line,) = logged(output, Call(request_id=hostile, principal=Principal(name=hostile, role=1)))
    assert (line["request_id"], line["principal"], line["level"]) == (hostile, hostile, "INFO")


@pytest.mark.parametrize("hostile", ['"', "\n2026 ERROR", "\x1b[2J", "a=b", "two words", ""])
def test_hostile_text_is_quoted_in_a_console(output: Output, hostile: str) -> None:
    log = log_to(output, "console")
    log.ended(Call(request_id=hostile))  # type: ignore[arg-type]
    log.stop()
    (line,) = output.text.splitlines()
    assert f" request_id={json.dumps(hostile)} request_bytes=2" in line
    assert line.isascii()
    assert line.isprintable()


def test_slow_calls_and_failures_of_the_server_are_warnings_and_errors(output: Output) -> None:
    calls = [
        Call(),
        Call(1.0),
        Call(code=Code.NOT_FOUND),
        Call(1.0, code=Code.NOT_FOUND),
        Call(code=Code.UNAVAILABLE),
        Call(code=Code.INTERNAL),
    ]
    levels = [(line["level"], line["code"]) for line in logged(output, *calls)]
    assert levels == [
        ("INFO", "OK"),
        ("WARNING", "OK"),
        ("INFO", "NOT_FOUND"),
        ("WARNING", "NOT_FOUND"),
        ("WARNING", "UNAVAILABLE"),
        ("ERROR", "INTERNAL"),
    ]


def test_the_sample_is_of_quick_successful_calls(output: Output) -> None:
    lines = logged(output, Call(), Call(2.0), Call(code=Code.NOT_FOUND), sample=0.0)
    assert [line["code"] for line in lines] == ["OK", "NOT_FOUND"]


def test_half_a_sample_is_about_half(output: Output) -> None:
    random.seed(7)
    assert 400 < len(logged(output, *(Call() for _ in range(1000)), sample=0.5)) < 600


def test_no_call_is_slow_without_a_limit(output: Output) -> None:
    assert logged(output, Call(1e6), sample=0.0, slow=0.0) == []


def test_a_higher_level_leaves_out_lines_below_it(output: Output) -> None:
    lines = logged(
        output, Call(), Call(2.0), Call(code=Code.NOT_FOUND), Call(code=Code.INTERNAL), level=logging.WARNING
    )
    assert [(line["code"], line["level"]) for line in lines] == [("OK", "WARNING"), ("INTERNAL", "ERROR")]


def test_probes_of_the_health_are_not_logged(output: Output) -> None:
    assert logged(output, Call(method="/grpc.health.v1.Health/Check")) == []


def test_failures_that_are_alike_are_limited_and_counted(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    log = log_to(output)
    for _ in range(MAX_FAILURES + 25):
        log.ended(Call(code=Code.RESOURCE_EXHAUSTED, reason="TOO_MANY_CALLS"))  # type: ignore[arg-type]
    log.ended(Call(code=Code.NOT_FOUND))  # type: ignore[arg-type]
    now += 1
    log.ended(Call(code=Code.RESOURCE_EXHAUSTED, reason="TOO_MANY_CALLS"))  # type: ignore[arg-type]
    log.stop()
    lines = output.lines()
    assert [line["code"] for line in lines] == [
        *["RESOURCE_EXHAUSTED"] * MAX_FAILURES,
        "NOT_FOUND",
        "RESOURCE_EXHAUSTED",
    ]
    assert lines[-1]["omitted"] == 25
    assert output.omitted == 25


def test_no_call_waits_for_a_log_that_nobody_reads(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "MAX_LINES", 5)
    monkeypatch.setattr(request_log, "FLUSH_INTERVAL", 0.0)
    output.open.clear()
    log = log_to(output)
    log.ended(Call())  # type: ignore[arg-type]
    assert output.waits.wait(PATIENCE)
    for _ in range(8):
        log.ended(Call())  # type: ignore[arg-type]
    assert output.omitted == 3
    output.open.set()
    log.stop()
    assert len(output.lines()) == 6
