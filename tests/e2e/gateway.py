"""A gateway between client and server that fails, waits and remembers, as networks and load balancers do."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from tests.e2e.servers import PATIENCE

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call that came through: its method, and how many seconds its caller gave it."""

    method: str
    seconds: float


class Gateway(grpc.GenericRpcHandler):
    """Passes unary calls on to `target`, as bytes."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target)
        self._refusals = 0
        self._open = threading.Event()
        self._open.set()
        self.arrived = threading.Event()
        self.calls: list[Call] = []
        self.target = ""

    def refuse(self, calls: int) -> None:
        """Answers the next calls with UNAVAILABLE."""
        self._refusals = calls

    def hold(self) -> None:
        """Passes no call on until it is released."""
        self._open.clear()

    def release(self) -> None:
        """Passes on what was held, and calls to come."""
        self._open.set()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        """Returns the handler of any method."""
        method = handler_call_details.method

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.calls.append(Call(method=method, seconds=context.time_remaining()))
            self.arrived.set()
            if self._refusals > 0:
                self._refusals -= 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "the gateway refuses")
            self._open.wait(PATIENCE)
            forward = self._channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
            return forward(request, timeout=PATIENCE)

        return grpc.unary_unary_rpc_method_handler(answer)

    def close(self) -> None:
        """Closes the connection to the server."""
        self.release()
        self._channel.close()


@contextmanager
def gateway_to(target: str) -> Iterator[Gateway]:
    """Runs a gateway to a server."""
    gateway = Gateway(target)
    server = grpc.server(ThreadPoolExecutor(4), handlers=[gateway])
    gateway.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield gateway
    finally:
        gateway.release()
        server.stop(None).wait(PATIENCE)
        gateway.close()
