"""A grpcio server of the same contract whose methods do nothing: they return ready-made messages."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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


def serve(servicer: events_pb2_grpc.EventServiceServicer, threads: int) -> None:
    """Serves on a free port, which is printed, until the process ends."""
    server = grpc.server(ThreadPoolExecutor(threads))
    events_pb2_grpc.add_EventServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    serve(NoOp(), THREADS)  # type: ignore[abstract]  # of the methods, those that are measured
