"""A server that asks for a token, and remembers the calls that it gets."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc

from tests.e2e.servers import PATIENCE

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call that arrived."""

    request: bytes
    metadata: dict[str, str | bytes]
    seconds: float
    """The time that its caller gave it."""

    @property
    def token(self) -> str:
        """The token that it came with; empty if it came without."""
        return str(self.metadata.get("authorization", "")).removeprefix("Bearer ")


@dataclass
class Guard(grpc.GenericRpcHandler):
    """Answers every unary call that has one of the tokens with an empty message."""

    tokens: set[str]
    target: str = ""
    unavailable: int = 0
    """The number of calls to come that it answers with UNAVAILABLE."""
    calls: list[Call] = field(default_factory=list)

    @property
    def seen(self) -> list[str]:
        """The tokens of the calls that arrived."""
        return [call.token for call in self.calls]

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:  # noqa: ARG002, all are the same
        """Returns the handler of any method."""
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        metadata = dict(context.invocation_metadata())
        call = Call(request=request, metadata=metadata, seconds=context.time_remaining())
        self.calls.append(call)
        context.set_trailing_metadata((("x-request-id", f"call-{len(self.calls)}"),))
        if self.unavailable:
            self.unavailable -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        if call.token not in self.tokens:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is not known")
        return b""


@contextmanager
def guarding(*tokens: str, credentials: grpc.ServerCredentials | None = None) -> Iterator[Guard]:
    """Runs a guard that knows these tokens, on loopback."""
    guard = Guard(tokens=set(tokens))
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, handlers=[guard])
        address = "127.0.0.1:0"
        port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        guard.target = f"127.0.0.1:{port}"
        server.start()
        try:
            yield guard
        finally:
            server.stop(None).wait(PATIENCE)
