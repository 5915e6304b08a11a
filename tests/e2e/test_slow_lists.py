"""A list that takes long tells the operator which kind of question it was, and nothing that its caller asked for."""

import json
import time
from pathlib import Path
from typing import Any

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis_client import ArtemisClient

from tests.benchmarks.generate import fill
from tests.e2e.servers import PATIENCE, Server, serving

SLOW = ("--log-slow", "0.000001", "--log-format", "json")
"""Every list is slow."""


def slow_lists(server: Server) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in server.log.text.splitlines()]
    return [line for line in lines if line["message"].startswith("slow list")]


def test_a_slow_list_has_a_line_with_its_filter_and_no_values(sqlite_file: Path) -> None:
    with serving(sqlite_file, *SLOW) as server, ArtemisClient(server.target, timeout=PATIENCE) as client:
        list(client.events.list(filter='category = "secret" AND owner_id != 77', order_by="start_time desc"))
        list(client.events.list())
        list(client.users.list(filter='email = "secret*"'))
        assert server.stop() == 0
        first, second, third = slow_lists(server)
        assert first["level"] == "WARNING"
        assert first["method"] == "artemis.v1.EventService/ListEvents"
        assert (first["filter"], first["order_by"]) == ("category = ? AND NOT owner_id = ?", "start_time desc")
        assert first["duration_ms"] > 0
        assert len(first["request_id"]) == 16
        assert first["index"] == "ix_events_category_length, in order"
        assert (second["filter"], second["order_by"], second["index"]) == ("", "", "primary key, in order")
        assert (third["method"], third["filter"]) == ("artemis.v1.UserService/ListUsers", "email = ?*")
        assert "secret" not in server.log.text
        assert "77" not in first["filter"]


def test_a_list_that_its_deadline_ends_has_a_line(sqlite_file: Path) -> None:
    fill(sqlite_file, 20_000)
    words = " OR ".join(f"description:{number}" for number in range(10, 40))  # shorter than the index of text takes
    request = events_pb2.ListEventsRequest(filter=words)
    with serving(sqlite_file, *SLOW) as server, grpc.insecure_channel(server.target) as channel:
        stub = events_pb2_grpc.EventServiceStub(channel)
        code, end = None, time.monotonic() + PATIENCE
        while not slow_lists(server):  # until the deadline ends the search, and not something before it
            code = stub.ListEvents.future(request, timeout=0.03).code()
            assert time.monotonic() < end
        (line, *_) = slow_lists(server)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert line["filter"] == " OR ".join(["description : ?"] * 30)
