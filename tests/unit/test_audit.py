"""The audit log: the ids and the outcome of each write, and nothing of what was written."""

import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from artemis.v1 import events_pb2 as events
from artemis.v1 import users_pb2 as users
from artemis.v1.access_pb2 import ROLE_READER, ROLE_WRITER
from artemis_server.access.audit import MAX_IDS, Audit
from artemis_server.access.principal import Principal
from artemis_server.access.roles import required_roles

from tests.e2e.wire import SERVICES

ROOT = Path(__file__).parents[2]
Code = grpc.StatusCode
AUDIT = Audit(required_roles(SERVICES))
WRITER = Principal(name="billing", role=ROLE_WRITER)
CREATE = "/artemis.v1.EventService/CreateEvent"


@dataclass
class Call:
    method: str = CREATE
    exchange: tuple[Any, Any] | None = None
    code: grpc.StatusCode | None = Code.OK
    done: bool = True
    principal: Principal | None = WRITER
    request_id: str = "call-1"


def fields_of(call: Call, caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Returns the fields of the one line."""
    caplog.set_level(logging.INFO)
    caplog.clear()
    AUDIT.record(call)
    (record,) = caplog.records
    assert record.name == "artemis_server.audit"
    assert record.message == "audit"
    return vars(record)["fields"]  # type: ignore[no-any-return]


EVENT = events.Event(id=7, name="secret")
EXCHANGES: list[tuple[Any, Any, str, int]] = [
    (events.CreateEventRequest(event=events.Event(id=99, name="secret")), EVENT, "7", 1),
    (events.UpdateEventRequest(event=EVENT), EVENT, "7", 1),
    (events.DeleteEventRequest(id=7), EVENT, "7", 1),
    (events.DeleteEventRequest(id=8, allow_missing=True), events.Event(), "8", 1),
    (
        events.BatchCreateEventsRequest(requests=[events.CreateEventRequest(event=EVENT)] * 2),
        events.BatchCreateEventsResponse(events=[events.Event(id=1), events.Event(id=2)]),
        "1,2",
        2,
    ),
    (
        events.BatchDeleteEventsRequest(requests=[events.DeleteEventRequest(id=number) for number in (3, 4)]),
        events.BatchDeleteEventsResponse(events=[events.Event(), events.Event(id=4)]),
        "3,4",
        2,
    ),
    (users.UpdateUserRequest(user=users.User(id=5, email="secret@example.com")), users.User(id=5), "5", 1),
]


@pytest.mark.parametrize(("request_", "response", "ids", "count"), EXCHANGES)
def test_a_line_has_the_ids_of_what_was_written(
    request_: Any, response: Any, ids: str, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    fields = fields_of(Call(exchange=(request_, response)), caplog)
    assert (fields["ids"], fields["count"]) == (ids, count)
    assert "secret" not in str(fields)


@pytest.mark.parametrize(
    ("request_", "ids"),
    [
        (events.CreateEventRequest(event=EVENT), ""),
        (events.UpdateEventRequest(event=EVENT), "7"),
        (events.DeleteEventRequest(id=7), "7"),
        (events.BatchUpdateEventsRequest(requests=[events.UpdateEventRequest(event=EVENT)] * 2), "7,7"),
    ],
)
def test_a_write_that_failed_has_the_ids_that_it_was_about(
    request_: Any, ids: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not those that it would have made."""
    call = Call(exchange=(request_, EVENT), code=Code.UNAVAILABLE, done=False)
    fields = fields_of(call, caplog)
    assert (fields["ids"], fields["code"]) == (ids, "UNAVAILABLE")


def test_a_line_has_so_many_ids_at_most(caplog: pytest.LogCaptureFixture) -> None:
    requests = [events.DeleteEventRequest(id=number) for number in range(1, 1001)]
    exchange = (
        events.BatchDeleteEventsRequest(requests=requests),
        events.BatchDeleteEventsResponse(events=[EVENT] * 1000),
    )
    fields = fields_of(Call(exchange=exchange), caplog)
    assert (fields["ids"].count(",") + 1, fields["count"]) == (MAX_IDS, 1000)


def test_the_outcome_is_that_of_the_write(caplog: pytest.LogCaptureFixture) -> None:
    """And not of the caller, who may have left before the answer, or may have left before the write began."""
    assert fields_of(Call(code=Code.CANCELLED, done=True), caplog)["code"] == "OK"
    assert fields_of(Call(code=Code.DEADLINE_EXCEEDED, done=False), caplog)["code"] == "DEADLINE_EXCEEDED"
    assert fields_of(Call(code=None, done=False), caplog)["code"] == "CANCELLED"


def test_a_line_says_who_called_and_how(caplog: pytest.LogCaptureFixture) -> None:
    request = events.DeleteEventRequest(id=7, request_id="write-1", validate_only=True)
    assert fields_of(Call("/artemis.v1.EventService/DeleteEvent", (request, EVENT)), caplog) == {
        "principal": "billing",
        "credentials": "token",
        "method": "artemis.v1.EventService/DeleteEvent",
        "code": "OK",
        "request_id": "call-1",
        "ids": "7",
        "count": 1,
        "write_request_id": "write-1",
        "validate_only": True,
    }


def test_calls_without_credentials_are_warnings_of_which_the_log_has_few(caplog: pytest.LogCaptureFixture) -> None:
    """Anybody can send them as fast as they like."""
    fields = fields_of(Call(principal=None, code=Code.UNAUTHENTICATED, done=False), caplog)
    assert fields == {
        "method": "artemis.v1.EventService/CreateEvent",
        "code": "UNAUTHENTICATED",
        "request_id": "call-1",
    }
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    reader = Principal(name="reports", role=ROLE_READER)
    fields_of(Call(principal=reader, code=Code.PERMISSION_DENIED, done=False), caplog)
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_a_read_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    AUDIT.record(Call("/artemis.v1.EventService/ListEvents"))
    AUDIT.record(Call("/grpc.health.v1.Health/Check"))
    assert caplog.records == []
    reads = {
        name
        for name in required_roles(SERVICES)
        if name.split("/")[-1].startswith(("Get", "List", "BatchGet", "Watch"))
    }
    assert AUDIT.methods == required_roles(SERVICES).keys() - reads


LOG_ERRORS_ALONE = """
from artemis_server import logs
from tests.unit.test_audit import AUDIT, Call

logs.set_up("ERROR")
AUDIT.record(Call())
AUDIT.record(Call(principal=None, code=None))
"""


@pytest.mark.acceptance
def test_no_level_leaves_a_write_out() -> None:
    """Or nobody could say afterwards who wrote what. The level of a process is set once, so it has one of its own."""
    done = subprocess.run(
        [sys.executable, "-c", LOG_ERRORS_ALONE], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    known, unknown = done.stderr.splitlines()
    assert " INFO artemis_server.audit: audit principal=billing " in known
    assert " WARNING artemis_server.audit: audit method=" in unknown
