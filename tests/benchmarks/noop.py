"""A grpcio server of the same contract whose methods do nothing: they return ready-made messages."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from artemis.v1 import events_pb2_grpc
from google.protobuf.message import Message

from tests.benchmarks.samples import CREATED, EVENT, PAGE

THREADS = 8
"""The number of threads that gave a no-op the most calls per second with 64 callers on one core."""


def constant(response: Message) -> Callable[..., Any]:
    """Returns a method that always returns this message."""
    return lambda *_: response


class NoOp(events_pb2_grpc.EventServiceServicer):
    GetEvent = CreateEvent = UpdateEvent = DeleteEvent = constant(EVENT)
    ListEvents = constant(PAGE)
    BatchCreateEvents = constant(CREATED)


def serve(
    servicer: events_pb2_grpc.EventServiceServicer, threads: int, credentials: grpc.ServerCredentials | None = None
) -> None:
    """Serves on a free port, which is printed, until the process ends."""
    server = grpc.server(ThreadPoolExecutor(threads))
    events_pb2_grpc.add_EventServiceServicer_to_server(servicer, server)
    address = "127.0.0.1:0"
    port = server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    pair = None
    if sys.argv[1:]:  # a certificate and its key
        certificate, key = (Path(name).read_bytes() for name in sys.argv[1:])
        pair = grpc.ssl_server_credentials([(key, certificate)])
    serve(NoOp(), THREADS, pair)  # type: ignore[abstract]  # of the methods, those that are measured
