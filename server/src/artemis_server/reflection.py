"""Reflection (grpc.reflection.v1 and v1alpha): lets grpcurl and other tools discover the API."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection, reflection_pb2

MAX_STREAMS = 16
"""A stream holds a thread for as long as its client likes. One more ends the one that was used least recently."""
MAX_QUESTION = 1024
"""Bytes of a question: an answer repeats it."""
SERVICE_NAMES = ("grpc.reflection.v1.ServerReflection", reflection.SERVICE_NAME)


class ReflectionServicer(reflection.ReflectionServicer):
    """The standard servicer, whose streams are limited in number."""

    def __init__(self, services: Iterable[str]) -> None:
        super().__init__([*services, *SERVICE_NAMES], SymbolPool())
        self._recent: OrderedDict[grpc.ServicerContext, None] = OrderedDict()
        self._lock = Lock()

    def ServerReflectionInfo(  # noqa: N802, gRPC's name
        self, request_iterator: Iterable[reflection_pb2.ServerReflectionRequest], context: Any
    ) -> Iterator[reflection_pb2.ServerReflectionResponse]:
        """Answers questions about services and types."""
        self._mark_used(context)
        try:
            for response in super().ServerReflectionInfo(_checked(request_iterator, context), context):
                self._mark_used(context)
                yield response
        finally:
            with self._lock:
                self._recent.pop(context, None)

    def _mark_used(self, context: grpc.ServicerContext) -> None:
        with self._lock:
            self._recent[context] = None
            self._recent.move_to_end(context)
            least_recent = self._recent.popitem(last=False)[0] if len(self._recent) > MAX_STREAMS else None
        if least_recent is not None:
            least_recent.cancel()


def _checked(
    requests: Iterable[reflection_pb2.ServerReflectionRequest], context: grpc.ServicerContext
) -> Iterator[reflection_pb2.ServerReflectionRequest]:
    """Yields the questions; a question that is too long ends the stream with INVALID_ARGUMENT."""
    for request in requests:
        if request.ByteSize() > MAX_QUESTION:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"a question has more than {MAX_QUESTION} bytes")
        yield request


class SymbolPool:
    """The default descriptor pool as reflection asks it, which also finds methods and grpc.reflection.v1.

    The default pool does not find the file of a method (`artemis.v1.EventService.GetEvent`), which `grpcurl describe`
    asks for; and grpcio-reflection has the messages of v1alpha alone, from which those of v1 differ by their package.
    """

    def __init__(self) -> None:
        self._default = descriptor_pool.Default()
        self._own = descriptor_pool.DescriptorPool()
        self._own.Add(_v1_file())

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802, protobuf's name
        """Returns the file that declares a service, method, message, field or enum. Raises KeyError if none does."""
        for pool in (self._default, self._own):
            with suppress(KeyError):
                return pool.FindFileContainingSymbol(symbol)
            with suppress(KeyError):
                return pool.FindMethodByName(symbol).containing_service.file
        raise KeyError(symbol)

    def FindFileByName(self, name: str) -> FileDescriptor:  # noqa: N802, protobuf's name
        """Returns the file of this name. Raises KeyError if there is none."""
        with suppress(KeyError):
            return self._default.FindFileByName(name)
        return self._own.FindFileByName(name)

    def __getattr__(self, name: str) -> Any:
        """Returns any other look-up of the default pool."""
        return getattr(self._default, name)


def _v1_file() -> descriptor_pb2.FileDescriptorProto:
    """Returns the file of grpc.reflection.v1, which is that of v1alpha in another package."""
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    text = text_format.MessageToString(file).replace("v1alpha", "v1")
    return text_format.Parse(text, descriptor_pb2.FileDescriptorProto())


def add_reflection(services: Iterable[str], server: grpc.Server) -> None:
    """Adds the service to the server, under the names of both its versions, whose messages are the same."""
    answer = partial(ReflectionServicer(services).ServerReflectionInfo)  # unlike a method, it has attributes
    pool = ThreadPoolExecutor(MAX_STREAMS + 1, thread_name_prefix="reflection")
    answer.experimental_thread_pool = pool  # type: ignore[attr-defined]
    handler = grpc.stream_stream_rpc_method_handler(
        answer,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for name in SERVICE_NAMES:
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler}),)
        )
