"""The methods that the interceptor guards, and the threads that answer them."""

from dataclasses import dataclass

import grpc
from artemis.v1.events_pb2 import Event, GetEventRequest
from artemis_server.rpc.calls import Calls, Limits
from artemis_server.rpc.interceptor import ContractInterceptor, Handler


@dataclass
class CallDetails:
    """The details of a call that an interceptor gets."""

    method: str
    invocation_metadata: tuple[tuple[str, str | bytes], ...] = ()


class Registry:
    """Handlers, as a server looks them up; it counts how often it is asked."""

    def __init__(self, *methods: str) -> None:
        self.asked: list[str] = []
        self._handlers: dict[str, Handler] = {
            method: grpc.unary_unary_rpc_method_handler(
                lambda request, _: Event(id=request.id),
                request_deserializer=GetEventRequest.FromString,
                response_serializer=Event.SerializeToString,
            )
            for method in methods
        }

    def look_up(self, details: grpc.HandlerCallDetails) -> "Handler | None":
        self.asked.append(details.method)
        return self._handlers.get(details.method)


GETTERS = Calls(Limits(1, seconds=1)).lane("get", threads=1)
OURS = "/artemis.v1.EventService/GetEvent"
LANES = {OURS: GETTERS}
HEALTH = "/grpc.health.v1.Health/Check"


def intercept(interceptor: ContractInterceptor, registry: Registry, method: str) -> "Handler | None":
    return interceptor.intercept_service(registry.look_up, CallDetails(method))


def test_a_method_of_the_contract_is_guarded_once() -> None:
    interceptor, registry = ContractInterceptor(LANES, {}), Registry(OURS)
    first = intercept(interceptor, registry, OURS)
    assert first is not None
    assert first.request_deserializer is None, "the guard parses, so that it can tell what is malformed"
    assert first is intercept(interceptor, registry, OURS)
    assert registry.asked == [OURS]


def test_a_method_with_a_lane_is_answered_by_its_threads() -> None:
    create = "/artemis.v1.EventService/CreateEvent"
    interceptor, registry = ContractInterceptor(LANES, {}), Registry(OURS, create)
    lanes = []
    for method in (OURS, create):
        handler = intercept(interceptor, registry, method)
        assert handler is not None
        lanes.append(getattr(handler.unary_unary, "experimental_thread_pool", None))
    assert lanes == [GETTERS, None]


def test_other_services_are_left_alone() -> None:
    registry = Registry(HEALTH)
    assert intercept(ContractInterceptor(LANES, {}), registry, HEALTH) is registry.look_up(CallDetails(HEALTH))


def test_an_unknown_method_stays_unknown() -> None:
    interceptor, registry = ContractInterceptor(LANES, {}), Registry()
    for _ in range(2):
        assert intercept(interceptor, registry, OURS) is None
    assert registry.asked == [OURS, OURS], "it is not kept: there is no end to unknown names"


def test_a_service_whose_name_begins_alike_is_left_alone() -> None:
    method = "/artemis.v10.EventService/GetEvent"
    registry = Registry(method)
    assert intercept(ContractInterceptor(LANES, {}), registry, method) is registry.look_up(CallDetails(method))
