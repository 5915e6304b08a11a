"""Servicers as the server serves them, called without a network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import grpc
import grpc_testing  # type: ignore[import-untyped]  # nobody publishes stubs for it
import pytest
from artemis.v1 import events_pb2, users_pb2
from artemis_server.app import page_tokens, services
from artemis_server.db.connection.database import Database
from artemis_server.rpc.interceptor import guarded
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2

EVENT_SERVICE = events_pb2.DESCRIPTOR.services_by_name["EventService"]
USER_SERVICE = users_pb2.DESCRIPTOR.services_by_name["UserService"]
METHODS: dict[str, MethodDescriptor] = {
    method.name: method for service in (EVENT_SERVICE, USER_SERVICE) for method in service.methods
}


class StatusSent(Exception):
    """The method ended with a status."""


class Context:
    """The context of grpc_testing, with the way to abort that it lacks."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def abort_with_status(self, status: grpc.Status) -> NoReturn:
        self._context.set_trailing_metadata(status.trailing_metadata)
        self._context.set_code(status.code)
        self._context.set_details(status.details)
        raise StatusSent


class Served:
    """A servicer, each method of which is guarded: it takes messages, or the bytes of a request."""

    def __init__(self, servicer: object, service: ServiceDescriptor) -> None:
        for method in service.methods:
            setattr(self, method.name, _serve(servicer, method))


def _serve(servicer: object, method: MethodDescriptor) -> Callable[[Message | bytes, Any], Message]:
    serve = guarded(getattr(servicer, method.name), GetMessageClass(method.input_type).FromString)

    def call(request: Message | bytes, context: Any) -> Message:
        raw = request if isinstance(request, bytes) else request.SerializeToString()
        try:
            response: Message = serve(raw, cast("grpc.ServicerContext", Context(context)))
        except StatusSent:
            return GetMessageClass(method.output_type)()
        return response

    return call


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of a call."""

    response: Any
    code: grpc.StatusCode
    text: str
    status: status_pb2.Status

    @property
    def reason(self) -> str:
        """The reason of the error."""
        info = error_details_pb2.ErrorInfo()
        self.status.details[0].Unpack(info)
        return str(info.reason)

    @property
    def fields(self) -> list[str]:
        """The fields that the error blames."""
        bad = error_details_pb2.BadRequest()
        return [each.field for each in bad.field_violations] if self.status.details[1].Unpack(bad) else []


class Service:
    """All servicers on one database."""

    def __init__(self, servicers: dict[ServiceDescriptor, Served]) -> None:
        clock = grpc_testing.strict_fake_time(0)
        self._server = grpc_testing.server_from_dictionary(servicers, clock)

    def call(self, method: str, request: Message | bytes, timeout: float | None = None) -> Outcome:
        """Calls a method and returns how that ended; the clock stands still meanwhile."""
        rpc = self._server.invoke_unary_unary(METHODS[method], (), request, timeout)
        response, trailers, code, text = rpc.termination()
        raw = dict(trailers).get("grpc-status-details-bin", b"")
        return Outcome(response=response, code=code, text=text, status=status_pb2.Status.FromString(raw))

    def answer(self, method: str, request: Message) -> Any:
        """Calls a method that succeeds and returns its response."""
        outcome = self.call(method, request)
        assert outcome.code is grpc.StatusCode.OK, outcome.text
        return outcome.response


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.acceptance)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database: on PostgreSQL, `make test` has the tests of storage and of whole servers."""
    return cast("str", request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def service(database: Database) -> Service:
    """The servicers on `database`."""
    return Service(
        {each.descriptor: Served(each.servicer, each.descriptor) for each in services(database, page_tokens(database))}
    )
