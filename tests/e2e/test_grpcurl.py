"""The API is called with tools that know nothing of Artemis: they learn all they need by reflection."""

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.e2e.samples import user
from tests.e2e.servers import PATIENCE, Server, environment
from tests.e2e.wire import EVENTS, USERS
from tests.tools import find, needs

NOT_FOUND, INVALID_ARGUMENT, FAILED_PRECONDITION = 5, 3, 9
NEW_EVENT = {
    "name": "PyCon",
    "category": "python",
    "location": "京都, Japan",
    "startTime": "2026-05-13T09:00:00Z",
    "endTime": "2026-05-15T17:30:00.000001Z",
}


class Tool(Protocol):
    """A command line that calls gRPC servers."""

    def services(self) -> list[str]:
        """Returns the services of the server."""

    def methods(self, service: str) -> list[str]:
        """Returns the full names of the methods of a service."""

    def mask(self, path: str) -> Any:
        """Returns an update mask with one path, in the JSON that the tool reads."""

    def call(self, method: str, request: dict[str, Any]) -> tuple[int, Any]:
        """Calls a method; returns the status code, and the response or what it said of the error, parsed."""


def run(*command: str, cache: str = "") -> "subprocess.CompletedProcess[str]":
    home = {"BUF_CACHE_DIR": cache} if cache else {}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment() | home
    )


class BufCurl:
    """`buf curl`. Its exit code is eight times the status code."""

    path = str(Path(sys.executable).parent / "buf")

    def __init__(self, target: str, folder: Path) -> None:
        self._url = f"http://{target}"
        self._cache = str(folder)

    def services(self) -> list[str]:
        return self._curl("--list-services", self._url).stdout.split()

    def methods(self, service: str) -> list[str]:
        listed = self._curl("--list-methods", self._url).stdout.replace("/", ".").split()
        return [method for method in listed if method.startswith(f"{service}.")]

    def mask(self, path: str) -> Any:
        return path

    def call(self, method: str, request: dict[str, Any]) -> tuple[int, Any]:
        ended = self._curl("--data", json.dumps(request), f"{self._url}/{method}")
        code, usage_error = divmod(ended.returncode, 8)
        assert not usage_error, ended.stderr
        return code, json.loads(ended.stderr if code else ended.stdout)

    def _curl(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        flags = ("--protocol", "grpc", "--http2-prior-knowledge")
        return run(self.path, "curl", *flags, *arguments, cache=self._cache)


class Grpcurl:
    """`grpcurl`. Its exit code is the status code and 64."""

    def __init__(self, target: str, _: Path) -> None:
        self._target = target

    def services(self) -> list[str]:
        return self._curl(self._target, "list").stdout.split()

    def methods(self, service: str) -> list[str]:
        return self._curl(self._target, "list", service).stdout.split()

    def mask(self, path: str) -> Any:
        return {"paths": [path]}  # grpcurl does not know the short form

    def call(self, method: str, request: dict[str, Any]) -> tuple[int, Any]:
        ended = self._curl("-format-error", "-d", json.dumps(request), self._target, method)
        code = max(ended.returncode - 64, 0)
        assert ended.returncode in (0, 64 + code), ended.stderr
        return code, json.loads(ended.stderr if code else ended.stdout)

    def describe(self, symbol: str) -> str:
        """Returns what the symbol is, in the language of .proto files."""
        return self._curl(self._target, "describe", symbol).stdout

    def _curl(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return run(str(find("grpcurl")), "-plaintext", *arguments)


@pytest.fixture(
    params=[pytest.param(BufCurl, marks=pytest.mark.acceptance), pytest.param(Grpcurl, marks=needs("grpcurl"))]
)
def tool(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Tool:
    made: Tool = request.param(server.target, tmp_path)
    return made


def test_the_services_and_their_methods_can_be_listed(tool: Tool) -> None:
    assert {EVENTS, USERS, "grpc.health.v1.Health"} <= set(tool.services())
    batches = ["BatchCreateEvents", "BatchDeleteEvents", "BatchGetEvents", "BatchUpdateEvents"]
    methods = [*batches, "CreateEvent", "DeleteEvent", "GetEvent", "ListEventChanges", "ListEvents", "UpdateEvent"]
    assert [f"{EVENTS}.{method}" for method in (*methods, "WatchEvents")] == sorted(tool.methods(EVENTS))


@needs("grpcurl")
def test_a_message_and_a_service_can_be_described(server: Server, tmp_path: Path) -> None:
    tool = Grpcurl(server.target, tmp_path)

    assert "rpc UpdateEvent ( .artemis.v1.UpdateEventRequest ) returns ( .artemis.v1.Event ) {" in tool.describe(EVENTS)
    assert "string name = 2 [(.google.api.field_behavior) = REQUIRED];" in tool.describe("artemis.v1.Event")


def test_an_event_is_created_read_changed_and_deleted(tool: Tool) -> None:
    code, created = tool.call(f"{EVENTS}/CreateEvent", {"event": NEW_EVENT})
    assert code == 0
    assert created.items() >= NEW_EVENT.items()
    by_id = {"id": created["id"]}
    assert tool.call(f"{EVENTS}/GetEvent", by_id) == (0, created)

    moved = {"event": by_id | {"location": "Osaka"}, "updateMask": tool.mask("location")}
    code, updated = tool.call(f"{EVENTS}/UpdateEvent", moved)
    assert (code, updated["location"], updated["category"]) == (0, "Osaka", "python")

    code, cleared = tool.call(f"{EVENTS}/UpdateEvent", {"event": by_id, "updateMask": tool.mask("category")})
    assert (code, cleared["location"], cleared.get("category")) == (0, "Osaka", None)

    assert tool.call(f"{EVENTS}/DeleteEvent", by_id) == (0, cleared)
    code, error = tool.call(f"{EVENTS}/GetEvent", by_id)
    assert (code, error["message"]) == (NOT_FOUND, f"there is no event {created['id']}")


def test_users_are_listed_page_by_page(tool: Tool) -> None:
    for _ in range(2):
        assert tool.call(f"{USERS}/CreateUser", {"user": {"email": user().email}})[0] == 0

    code, first = tool.call(f"{USERS}/ListUsers", {"pageSize": 1})
    next_code, second = tool.call(f"{USERS}/ListUsers", {"pageSize": 1, "pageToken": first["nextPageToken"]})

    assert (code, next_code) == (0, 0)
    assert int(first["users"][0]["id"]) < int(second["users"][0]["id"])


def test_an_error_tells_what_is_wrong(tool: Tool) -> None:
    code, error = tool.call(f"{EVENTS}/CreateEvent", {"event": NEW_EVENT | {"name": " "}})

    assert (code, error["message"]) == (INVALID_ARGUMENT, "event.name: must not be blank")
    kinds = [each.get("type") or each["@type"].removeprefix("type.googleapis.com/") for each in error["details"]]
    assert kinds == ["google.rpc.ErrorInfo", "google.rpc.BadRequest"]


@needs("grpcurl")
def test_an_error_with_its_details_can_be_read(server: Server, tmp_path: Path) -> None:
    tool = Grpcurl(server.target, tmp_path)

    code, error = tool.call(f"{EVENTS}/CreateEvent", {"event": NEW_EVENT | {"ownerId": 2**40}})

    info, failure, blamed = error["details"]
    assert (code, info["domain"], info["reason"]) == (FAILED_PRECONDITION, "artemis", "OWNER_NOT_FOUND")
    assert failure["violations"][0]["subject"] == f"user/{2**40}"
    assert "event.owner_id" in json.dumps(blamed)  # grpcurl shows details in its own spelling


def test_events_are_created_in_a_batch_and_filtered(tool: Tool) -> None:
    category = str(uuid.uuid4())
    requests = [{"event": NEW_EVENT | {"name": name, "category": category}} for name in ("One", "Two", "Three")]
    code, _ = tool.call(f"{EVENTS}/BatchCreateEvents", {"requests": requests, "requestId": str(uuid.uuid4())})
    assert code == 0

    request = {"filter": f'category = "{category}" AND NOT name:"Tw"', "orderBy": "name desc"}
    code, page = tool.call(f"{EVENTS}/ListEvents", request)

    assert code == 0
    assert [each["name"] for each in page["events"]] == ["Three", "One"]
