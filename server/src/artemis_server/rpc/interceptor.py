"""The interceptor around every method of the contract: it parses and validates requests, and reports errors.

Parsing, validation and the mapping of errors stand here once, so that no method can forget them.
"""

from collections.abc import Callable, Container, Mapping
from typing import Any, NoReturn, TypeAlias, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_status import rpc_status

from artemis_server import requests
from artemis_server.errors import InvalidArgument, Violation
from artemis_server.requests import Check
from artemis_server.rpc.incoming import IncomingCall
from artemis_server.rpc.lanes import Lane
from artemis_server.rpc.status import status_of
from artemis_server.wire import bounded

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class ContractInterceptor(grpc.ServerInterceptor):
    """Puts `guarded` around the unary methods of the contract's services, once for each method.

    It calls `on_unknown` for each call to a method that the server does not have.

    `lanes` maps the full name of a method, such as "/artemis.v1.EventService/GetEvent", to the lane that answers it;
    the server's own lane answers all other methods. `checks` maps such names to the checks that methods make
    themselves: their violations join those of the contract. The calls of `audited` methods remember their messages.
    """

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        checks: Mapping[str, Check],
        audited: Container[str] = (),
        package: str = "artemis.v1",
        on_unknown: Callable[[], None] = lambda: None,
    ) -> None:
        self._lanes = lanes
        self._checks = checks
        self._audited = audited
        self._prefix = f"/{package}."
        self._on_unknown = on_unknown
        self._handlers: dict[str, Handler] = {}

    def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Handler | None]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Returns the handler of a method, guarded if the method is one of the contract's."""
        method = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is None:
            handler = continuation(handler_call_details)
            if handler is None:  # it is not kept: there is no end to unknown methods
                self._on_unknown()
            elif method.startswith(self._prefix):
                handler = self._handlers[method] = self._guard(method, handler)
        return handler

    def _guard(self, method: str, handler: Handler) -> Handler:
        if handler.response_streaming:
            return self._guard_stream(method, handler)
        assert handler.unary_unary is not None  # noqa: S101, for the type checker
        assert handler.request_deserializer is not None  # noqa: S101, for the type checker
        served = remembered(handler.unary_unary) if method in self._audited else handler.unary_unary
        answer = guarded(served, handler.request_deserializer, self._checks.get(method))
        if method in self._lanes:
            answer.experimental_thread_pool = self._lanes[method]  # type: ignore[attr-defined]
        return grpc.unary_unary_rpc_method_handler(answer, response_serializer=handler.response_serializer)

    def _guard_stream(self, method: str, handler: Handler) -> Handler:
        """Returns the handler of a stream, whose method `IncomingCall.open` runs."""
        assert handler.unary_stream is not None  # noqa: S101, for the type checker
        assert handler.request_deserializer is not None  # noqa: S101, for the type checker
        answer = opened(handler.unary_stream, handler.request_deserializer, self._checks.get(method))
        answer.experimental_thread_pool = self._lanes[method]  # type: ignore[attr-defined]
        return grpc.unary_stream_rpc_method_handler(answer, response_serializer=handler.response_serializer)


def remembered(
    method: Callable[[Request, Any], Response],
) -> Callable[[Request, Any], Response]:
    """Returns the method as one whose messages are in the context, for the audit log."""

    def answer(request: Request, context: Any) -> Response:
        context.exchange = request, None
        response = method(request, context)
        context.exchange = request, response
        return response

    return answer


def guarded(
    method: Callable[[Request, grpc.ServicerContext], Response],
    parse: Callable[[bytes], Request],
    check: Check | None = None,
) -> Callable[[bytes, grpc.ServicerContext], Response]:
    """Returns the method as it is served: from the bytes of the request to its response, or a status."""
    parse = bounded(parse)

    def answer(raw: bytes, context: grpc.ServicerContext) -> Response:
        try:
            request = parse(raw)
            requests.validate(request, check)
            return method(request, context)
        except DecodeError:
            _abort(context, _MALFORMED)
        except Exception as error:
            _abort(context, error)

    return answer


def opened(
    method: Callable[..., Any],
    parse: Callable[[bytes], Request],
    check: Check | None = None,
) -> Callable[[bytes, grpc.ServicerContext, IncomingCall], None]:
    """Returns a method that opens a stream as it is served: from the bytes of the request to an open call."""

    def answer(raw: bytes, context: grpc.ServicerContext, call: IncomingCall) -> None:
        guarded(lambda request, _: method(request, context, call), parse, check)(raw, context)

    return answer


def _abort(context: grpc.ServicerContext, error: Exception) -> NoReturn:
    context.abort_with_status(rpc_status.to_status(status_of(error, getattr(context, "request_id", ""))))


_MALFORMED = InvalidArgument(
    Violation(field="", description="the request is not a valid protobuf message, or has text that is not UTF-8"),
    reason="MALFORMED_REQUEST",
)
