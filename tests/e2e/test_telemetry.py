"""Telemetry of real servers: what Prometheus reads, what the log says, and which id a call has."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import grpc
import pytest
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis_client import ArtemisClient
from artemis_server.app import methods
from artemis_server.telemetry.endpoint import MAX_REQUESTS
from artemis_server.telemetry.families import OTHER
from google.protobuf.message import Message
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.samples import event
from tests.e2e.servers import PATIENCE, Server, run, serving
from tests.telemetry import names
from tests.tools import needs

METRICS = r"metrics on (http://127\.0\.0\.1:\d+/metrics)"
GET = "artemis.v1.EventService/GetEvent"
LOGGED = ("--log-format", "json", "--log-sample", "1")
FIRST = events_pb2.GetEventRequest(id=1)
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310, our own URL
        text: str = answer.read().decode()
    return text


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def count(found: Samples, name: str, **labels: str) -> float:
    return found.get((name, tuple(sorted(labels.items()))), 0.0)


def are_counted(found: Samples) -> bool:
    """Tells whether the end of each call is counted that began; a client has its answer a moment before."""
    begun, ended = (
        sum(value for (each, _), value in found.items() if each == name)
        for name in ("grpc_server_call_started_total", "grpc_server_call_duration_seconds_count")
    )
    return begun == ended


def until(condition: Callable[[], bool]) -> None:
    """Returns once the condition holds, which a server brings about."""
    end = os.times().elapsed + PATIENCE
    while not condition():
        assert os.times().elapsed < end


def url_of(server: Server) -> str:
    # The line is JSON in some tests, and text in others.
    return server.log.wait_for(METRICS)[1]


def call(channel: grpc.Channel, method: str, request: Message = FIRST) -> Any:
    """Calls and returns the call, whose answer, code and trailers are there."""
    multi = channel.unary_unary(f"/{method}", type(request).SerializeToString, bytes)
    begun: Any = multi.future(request, timeout=PATIENCE)
    begun.exception()
    return begun


@pytest.fixture(scope="module")
def watched_and_counted(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[tuple[Server, Samples]]:
    """A server that tells all it can, and its metrics after some calls."""
    file = Path(shutil.copyfile(sqlite_template, tmp_path_factory.mktemp("watched") / "artemis.db"))
    with serving(file, "--metrics-listen", "127.0.0.1:0", *LOGGED) as server:
        with ArtemisClient(server.target, timeout=PATIENCE) as client, grpc.insecure_channel(server.target) as channel:
            made = client.events.create(event())
            for _ in range(3):
                assert client.events.get(made.id) == made
            for number in range(50):
                assert call(channel, f"no.such.Service/Method{number}").code() is grpc.StatusCode.UNIMPLEMENTED
                assert call(channel, f"artemis.v1.EventService/No{number}").code() is grpc.StatusCode.UNIMPLEMENTED
            assert call(channel, GET, events_pb2.GetEventRequest(id=2**62)).code() is grpc.StatusCode.NOT_FOUND
            assert call(channel, "grpc.health.v1.Health/Check", events_pb2.GetEventRequest()).code().name == "OK"
        until(lambda: are_counted(samples(read(url_of(server)))))
        yield server, samples(read(url_of(server)))


@pytest.fixture
def watched(watched_and_counted: tuple[Server, Samples]) -> Server:
    """The server, to which other tests may have made more calls."""
    return watched_and_counted[0]


@pytest.fixture
def counted(watched_and_counted: tuple[Server, Samples]) -> Samples:
    """Its metrics before those."""
    return watched_and_counted[1]


def test_calls_are_counted_by_method_and_code(counted: Samples) -> None:
    assert count(counted, "grpc_server_call_started_total", grpc_method=GET) == 4
    for name in (
        "grpc_server_call_duration_seconds_count",
        "grpc_server_call_sent_total_compressed_message_size_bytes_count",
        "grpc_server_call_rcvd_total_compressed_message_size_bytes_count",
    ):
        assert count(counted, name, grpc_method=GET, grpc_status="OK") == 3
        assert count(counted, name, grpc_method=GET, grpc_status="NOT_FOUND") == 1
        assert count(counted, name, grpc_method="grpc.health.v1.Health/Check", grpc_status="OK") == 1
    assert count(counted, "artemis_calls_in_flight", grpc_method=GET) == 0
    assert count(counted, "artemis_database_duration_seconds_count", operation="read") >= 4
    assert count(counted, "artemis_writer_group_size_count") >= 1
    assert count(counted, "artemis_health_serving") == count(counted, "artemis_workers") == 1
    assert count(counted, "artemis_database_file_bytes", file="main") > 0


def test_unknown_methods_make_no_series_of_their_own(counted: Samples) -> None:
    named = {value for _, labels in counted for label, value in labels if label == "grpc_method"}
    assert named == {*methods(), OTHER}
    assert count(counted, "grpc_server_call_started_total", grpc_method=OTHER) == 100
    unknown = {"grpc_method": OTHER, "grpc_status": "UNIMPLEMENTED"}
    assert count(counted, "grpc_server_call_duration_seconds_count", **unknown) == 100


def test_every_metric_of_the_dashboard_and_the_alerts_is_exported(watched: Server) -> None:
    exported = {name for name, _ in samples(read(url_of(watched)))}
    used = names.used()
    assert len(used) > 20
    assert used - names.OF_OTHERS - exported == set()


def test_every_metric_is_explained(watched: Server) -> None:
    families = {family.name for family in text_string_to_metric_families(read(url_of(watched)))}
    page = names.PAGE.read_text(encoding="utf-8")
    assert {name for name in families if f"`{name}" not in page} == set()


@needs("promtool")
def test_prometheus_finds_no_fault_in_the_page(watched: Server) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=read(url_of(watched)), capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


@needs("promtool")
def test_prometheus_accepts_the_alert_rules() -> None:
    checked = subprocess.run(["promtool", "check", "rules", names.ALERTS], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.acceptance
@needs("prometheus")
def test_a_real_prometheus_reads_the_metrics(watched: Server, tmp_path: Path) -> None:
    target = url_of(watched).split("/")[2]
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        f"rule_files: ['{names.ALERTS}']\n"
        f"scrape_configs: [{{job_name: artemis-server, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    flags = [f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address={listen}"]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(["prometheus", *flags], stderr=log, stdout=log) as process,
    ):
        try:
            query = f"http://{listen}/api/v1/query?query=grpc_server_call_started_total"

            def scraped() -> bool:
                try:
                    results = json.loads(read(query))["data"]["result"]
                except OSError:
                    return False
                return {"4"} <= {each["value"][1] for each in results if each["metric"]["grpc_method"] == GET}

            until(scraped)
            rules = json.loads(read(f"http://{listen}/api/v1/rules"))["data"]["groups"]
        finally:
            process.terminate()
    assert len(rules) >= 2


def test_other_paths_say_where_the_metrics_are(watched: Server) -> None:
    connection = HTTPConnection(url_of(watched).split("/")[2], timeout=PATIENCE)
    connection.request("GET", "/../etc/passwd")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (404, b"Here are /metrics and /metrics/workers.\n")
    connection.close()


def test_connections_that_say_nothing_keep_nobody_out(watched: Server) -> None:
    host, port = url_of(watched).split("/")[2].split(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(MAX_REQUESTS)]
    for each in silent:
        assert each.recv(1) == b"", "it is closed"
        each.close()
    assert "artemis_build_info" in read(url_of(watched))


def test_each_call_has_a_line(watched: Server) -> None:
    watched.log.wait_for("NOT_FOUND")
    lines = [json.loads(line) for line in watched.log.text.splitlines()]
    calls = [line for line in lines if line["logger"] == "artemis_server.requests"]
    del calls[1 + next(at for at, each in enumerate(calls) if each["code"] == "NOT_FOUND") :]  # those of other tests
    assert [(each["method"], each["code"]) for each in calls] == [
        ("artemis.v1.EventService/CreateEvent", "OK"),
        *[(GET, "OK")] * 3,
        (GET, "NOT_FOUND"),
    ]
    assert calls[-1]["reason"] == "EVENT_NOT_FOUND"
    assert calls[-1]["peer"].startswith("ipv4:127.0.0.1:")


# Workers


@pytest.mark.acceptance
def test_workers_are_summed_and_keep_their_counts(sqlite_file: Path) -> None:
    flags = ("--metrics-listen", "127.0.0.1:0", "--workers", "2", "--log-level", "INFO")
    with serving(sqlite_file, *flags) as server:
        url = url_of(server)

        def started() -> list[float]:
            """Returns the gets that have begun: their sum, and those of each worker."""
            sums, workers = samples(read(url)), samples(read(f"{url}/workers"))
            name = "grpc_server_call_started_total"
            by_worker = [count(workers, name, grpc_method=GET, worker=number) for number in ("1", "2")]
            return [count(sums, name, grpc_method=GET), *by_worker]

        def get(_: int) -> None:
            with grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                until(lambda: call(channel, GET).code() is grpc.StatusCode.NOT_FOUND)

        total = 0
        while not all(started()):  # the kernel chooses the worker of each connection
            get(0)
            total += 1
        before = started()
        assert before[0] == total == sum(before[1:])

        serving_once = r"worker 1: artemis_server\.health: healthy(.|\n)*"
        pid = int(children(server.process.pid)[0])
        os.kill(pid, signal.SIGKILL)
        server.log.wait_for(serving_once * 2)
        until(lambda: count(samples(read(url)), "artemis_health_serving") >= 2)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(get, range(8)))
        after = started()
        assert after[0] == sum(after[1:]) >= before[0] + 8
        assert all(now >= earlier for now, earlier in zip(after, before, strict=True))

        server.process.send_signal(signal.SIGHUP)
        server.log.wait_for("the workers are renewed")
        renewed = started()
        assert renewed[0] == sum(renewed[1:])
        assert all(now >= earlier for now, earlier in zip(renewed, after, strict=True))


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()


# Settings


def test_an_address_that_is_set_and_taken_is_named(sqlite_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run("serve", sqlite_file, "--listen", "127.0.0.1:0", "--metrics-listen", listen)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == f"artemis-server: cannot listen on {listen}: Address already in use"


# Ids


def test_the_trailers_have_the_id_of_the_call(watched: Server, sqlite_file: Path) -> None:
    def trailer(channel: grpc.Channel, *metadata: tuple[str, str], method: str = GET, row_id: int = 1) -> Any:
        multi = channel.unary_unary(f"/{method}", events_pb2.GetEventRequest.SerializeToString, bytes)
        begun: Any = multi.future(events_pb2.GetEventRequest(id=row_id), timeout=PATIENCE, metadata=metadata)
        begun.exception()
        return begun.code().name, dict(begun.trailing_metadata())["x-request-id"]

    with grpc.insecure_channel(watched.target) as channel:
        assert trailer(channel, ("x-request-id", "mine-1")) == ("OK", "mine-1")
        assert trailer(channel, ("x-request-id", "mine-2"), row_id=2**62) == ("NOT_FOUND", "mine-2")
        assert trailer(channel, ("x-request-id", "mine-3"), row_id=-1) == ("INVALID_ARGUMENT", "mine-3")
        made = trailer(channel)[1]
        assert len(made) == 16
        for insane in ("two words", "x" * 65, ""):
            code, other = trailer(channel, ("x-request-id", insane))
            assert (code, len(other)) == ("OK", 16)
        hostile = 'a"b\\c'
        assert trailer(channel, ("x-request-id", hostile)) == ("OK", hostile)
        watched.log.wait_for(re.escape(json.dumps(hostile)))
        lines = [json.loads(line) for line in watched.log.text.splitlines()]
        assert hostile in [line.get("request_id") for line in lines]
    with serving(sqlite_file, "--max-client-rate", "1") as limited, grpc.insecure_channel(limited.target) as channel:
        refused = ("RESOURCE_EXHAUSTED", "mine-4")
        until(lambda: trailer(channel, ("x-request-id", "mine-4")) == refused)


def test_a_stop_loses_no_line(sqlite_file: Path) -> None:
    calls = 200
    with serving(sqlite_file, *LOGGED) as server:
        with grpc.insecure_channel(server.target) as channel:
            stub = events_pb2_grpc.EventServiceStub(channel)
            for _ in range(calls):
                stub.ListEvents(events_pb2.ListEventsRequest(), timeout=PATIENCE)
        assert server.stop() == 0
        assert server.log.text.count('"code":"OK"') == calls
