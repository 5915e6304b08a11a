"""The server under measurement: the real application, and no-op methods beside it in the same grpcio server.

A no-op takes and returns the same messages as the method it stands beside; what it returns is ready-made.
"""

import signal
import sys
import threading
from collections.abc import Callable

import grpc
from artemis.v1 import events_pb2
from artemis_models import create_engine, tune_garbage_collector, upgrade
from artemis_server.app import Application, max_connections
from artemis_server.settings import Settings
from google.protobuf.message import Message

from tests.benchmarks.samples import CREATED, EVENT, PAGE


def noop_handlers() -> grpc.GenericRpcHandler:
    """Returns the service `noop`, whose methods return constants."""

    def method(request: type[Message], response: Message) -> "grpc.RpcMethodHandler[Message, Message]":
        behavior: Callable[[Message, grpc.ServicerContext], Message] = lambda *_: response  # noqa: E731
        return grpc.unary_unary_rpc_method_handler(
            behavior,
            request_deserializer=request.FromString,
            response_serializer=type(response).SerializeToString,
        )

    return grpc.method_handlers_generic_handler(
        "noop",
        {
            "GetEvent": method(events_pb2.GetEventRequest, EVENT),
            "CreateEvent": method(events_pb2.CreateEventRequest, EVENT),
            "UpdateEvent": method(events_pb2.UpdateEventRequest, EVENT),
            "DeleteEvent": method(events_pb2.DeleteEventRequest, EVENT),
            "ListEvents": method(events_pb2.ListEventsRequest, PAGE),
            "BatchCreateEvents": method(events_pb2.BatchCreateEventsRequest, CREATED),
        },
    )


def main(url: str) -> None:
    """Serves on a free port, which it prints, until SIGTERM."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    settings = Settings(command="serve", database_url=url, listen="127.0.0.1:0")
    engine = create_engine(url, connections=max_connections(settings))
    upgrade(engine)
    application = Application(settings, engine)
    application.server.add_generic_rpc_handlers((noop_handlers(),))
    port = application.start()
    tune_garbage_collector()
    print(port, flush=True)
    stopping.wait()
    application.stop()


if __name__ == "__main__":
    main(sys.argv[1])
