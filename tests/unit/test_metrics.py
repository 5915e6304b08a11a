"""Metrics: what is counted, and how the numbers of several processes become one page."""

import ast
import logging
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from artemis_models.flags import OFF
from artemis_server import app
from artemis_server.app import ListenError, methods, share_metrics
from artemis_server.settings import Settings
from artemis_server.telemetry import families, memory
from artemis_server.telemetry.families import FAMILIES, REASONS, Layout
from artemis_server.telemetry.memory import Memory
from artemis_server.telemetry.pages import Page
from artemis_server.telemetry.recorder import Recorder, gauges_of
from prometheus_client import CollectorRegistry

GET = "artemis.v1.EventService/GetEvent"
LAYOUT = Layout([GET, "artemis.v1.EventService/CreateEvent"])
Code = grpc.StatusCode


def call(method: str = f"/{GET}", code: Code = Code.OK, seconds: float = 0.0, **values: Any) -> Any:
    fields = {"answer_size": 75, "request_bytes": 2, "reason": ""} | values
    return SimpleNamespace(method=method, code=code, began=time.monotonic() - seconds, **fields)


def recorded(recorder: Recorder, *calls: Any) -> None:
    for each in calls:
        recorder.begun(each)
        recorder.ended(each)


def page(shared: Memory, *, by_worker: bool = False) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Page(LAYOUT, shared, by_worker=by_worker))
    return registry


def test_durations_and_sizes_are_in_their_buckets() -> None:
    shared = Memory(1, LAYOUT.size)
    recorded(Recorder(LAYOUT, shared.take(1)), call(seconds=0.15), call(seconds=1e6, answer_size=2**40))
    value = page(shared).get_sample_value
    labels = {"grpc_method": GET, "grpc_status": "OK"}
    duration, sent = families.DURATION.name, families.SENT.name
    assert value(f"{duration}_bucket", labels | {"le": "0.13"}) == 0
    assert value(f"{duration}_bucket", labels | {"le": "100.0"}) == 1
    assert value(f"{duration}_bucket", labels | {"le": "+Inf"}) == value(f"{duration}_count", labels) == 2
    assert value(f"{sent}_bucket", labels | {"le": "0.0"}) == 0
    assert value(f"{sent}_bucket", labels | {"le": "1024.0"}) == 1
    assert value(f"{sent}_sum", labels) == 2**40 + 75


def test_methods_that_are_not_known_are_counted_together() -> None:
    shared = Memory(1, LAYOUT.size)
    block = shared.take(1)
    block.beat()
    recorder = Recorder(LAYOUT, block)
    recorded(recorder, *(call(f"/x/{number}", Code.UNIMPLEMENTED) for number in range(5)))
    recorder.unknown()
    other = {"grpc_method": "other"}
    value = page(shared).get_sample_value
    assert value(families.STARTED.name, other) == 6
    assert value(f"{families.DURATION.name}_count", other | {"grpc_status": "UNIMPLEMENTED"}) == 6
    assert value(families.IN_FLIGHT.name, other) == 0


def test_every_reason_of_the_server_and_of_access_control_is_counted() -> None:
    """They are the literals that the code gives to these errors."""
    kinds = {"Unavailable", "ResourceExhausted", "DeadlineExceeded", "DatabaseDamaged", "Unauthenticated"}
    package = Path(app.__file__).parent
    calls = [
        node
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {*kinds, "PermissionDenied"}
    ]
    given = {ast.literal_eval(node.args[0]) for node in calls if isinstance(node.args[0], ast.Constant)}
    assert len(calls) > len(REASONS)
    assert given | {"INTERNAL"} == set(REASONS)


def test_refusals_are_counted_by_reason() -> None:
    shared = Memory(1, LAYOUT.size)
    refused = [call(code=Code.RESOURCE_EXHAUSTED, reason=reason) for reason in ("TOO_MANY_CALLS", "ANY_OTHER")]
    recorded(Recorder(LAYOUT, shared.take(1)), *refused)
    value = page(shared).get_sample_value
    assert {reason: value(families.REFUSED.name, {"reason": reason}) for reason in REASONS} == {
        **dict.fromkeys(REASONS, 0),
        "TOO_MANY_CALLS": 1,
    }
    assert value(families.REFUSED.name, {"reason": "ANY_OTHER"}) is None


def test_workers_are_summed_and_shown_each() -> None:
    shared = Memory(2, LAYOUT.size)
    for number in (1, 2):
        block = shared.take(number)
        recorder = Recorder(LAYOUT, block)
        recorded(recorder, *[call()] * number)
        recorder.set(families.SERVING, 1)
        recorder.set(families.FREE, 100 * number)
        block.beat()
    labels = {"grpc_method": GET}
    sums, each = page(shared).get_sample_value, page(shared, by_worker=True).get_sample_value
    assert sums(families.STARTED.name, labels) == 3
    assert [each(families.STARTED.name, labels | {"worker": number}) for number in ("1", "2")] == [1, 2]
    assert sums(families.SERVING.name) == 2
    assert sums(families.FREE.name) == 100, "it is one disk"


def test_the_counts_of_a_process_that_ended_stay_and_its_gauges_go(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Memory(1, LAYOUT.size)
    block = shared.take(1)
    recorder = Recorder(LAYOUT, block)
    recorder.begun(call())
    block.beat()
    name, labels = families.IN_FLIGHT.name, {"grpc_method": GET}
    assert page(shared).get_sample_value(name, labels) == 1
    monkeypatch.setattr(memory, "MAX_AGE", -1.0)
    assert page(shared).get_sample_value(name, labels) is None
    assert page(shared).get_sample_value(families.STARTED.name, labels) == 1
    monkeypatch.undo()

    successor = shared.take(1, gauges_of(LAYOUT))
    successor.beat()
    assert page(shared).get_sample_value(name, labels) == 0
    assert page(shared).get_sample_value(families.STARTED.name, labels) == 1


def test_names_and_units_are_those_that_prometheus_advises() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    assert [family.name for family in FAMILIES if family.name.endswith("_total") != (family.kind == "counter")] == []


def test_every_method_of_the_server_has_metrics_of_its_own() -> None:
    named = {name.partition("/")[0] for name in methods()}
    assert {"artemis.v1.EventService", "artemis.v1.UserService", "grpc.health.v1.Health"} <= named
    assert GET in methods()


# The address


def test_metrics_can_be_off() -> None:
    assert share_metrics(Settings(command="serve", metrics_listen=OFF), 1) is None


def test_the_default_address_that_is_taken_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setattr(app, "METRICS_LISTEN", listen)
        assert share_metrics(Settings(command="serve"), 1) is None
        with pytest.raises(ListenError, match=f"^cannot listen on {listen}: Address already in use$"):
            share_metrics(Settings(command="serve", metrics_listen=listen), 1)
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert record.getMessage().startswith(f"there are no metrics: cannot listen on {listen}: ")
