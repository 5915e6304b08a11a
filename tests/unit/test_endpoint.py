"""The address of the metrics: a client that does harm, or nothing, keeps nobody out and leaves no stack of its own."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection

import pytest
from artemis_server.telemetry import endpoint
from artemis_server.telemetry.endpoint import MAX_REQUESTS, Endpoint
from artemis_server.telemetry.families import Layout
from artemis_server.telemetry.memory import Memory
from artemis_server.telemetry.pages import Page

from tests.e2e.servers import PATIENCE

LAYOUT = Layout([])


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    """The address of an endpoint."""
    with endpoint.listen(("127.0.0.1", 0), family=socket.AF_INET) as listening:
        served = Endpoint(listening, {"/metrics": Page(LAYOUT, Memory(1, LAYOUT.size), by_worker=False)})
        served.start()
        yield listening.getsockname()
        served.stop()


def status(address: tuple[str, int], **headers: str) -> int:
    connection = HTTPConnection(*address, timeout=PATIENCE)
    try:
        connection.request("GET", "/metrics", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_clients_that_dribble_lose_their_places(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(endpoint, "MAX_DURATION", 0.2)
    clients = [socket.create_connection(address, timeout=0.01) for _ in range(MAX_REQUESTS)]
    for client in clients:
        ended = False
        while not ended:
            with suppress(TimeoutError):
                try:
                    client.send(b"a")
                    ended = client.recv(1) == b""
                except ConnectionError:
                    ended = True
        client.close()
    assert status(address) == 200
    assert capfd.readouterr().err == ""


def test_headers_that_the_library_cannot_read_are_an_error_with_one_line(
    address: tuple[str, int], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    assert status(address, Accept="text/plain;version=1.x.y") == 500
    assert caplog.messages == ["the metrics cannot be given"]
    assert capfd.readouterr().err == ""
    assert status(address) == 200
