"""Reflection (grpc.reflection.v1alpha): lets grpcurl and others discover the API."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from artemis_server.streams import OpenStreams

THREADS = 4
"""Threads for reflection alone: a stream holds one for as long as the client likes."""


class ReflectionServicer(reflection.ReflectionServicer):
    """The standard servicer; its streams have threads of their own, and the server can end them."""

    def __init__(self, services: Iterable[str], streams: OpenStreams) -> None:
        super().__init__([*services, reflection.SERVICE_NAME])
        self._streams = streams

    def ServerReflectionInfo(  # noqa: N802, gRPC's name
        self, request_iterator: Iterable[reflection_pb2.ServerReflectionRequest], context: Any
    ) -> Iterator[reflection_pb2.ServerReflectionResponse]:
        """Answers questions about services and types."""
        self._streams.add(context)
        yield from super().ServerReflectionInfo(request_iterator, context)


def add_reflection(services: Iterable[str], server: grpc.Server, streams: OpenStreams) -> None:
    """Adds reflection on these services to the server."""
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="reflection")
    ReflectionServicer.ServerReflectionInfo.experimental_thread_pool = pool  # type: ignore[attr-defined]
    add = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
    add(ReflectionServicer(services, streams), server)  # type: ignore[no-untyped-call]
