"""Calls of callers who keep to the rules, and what they end with."""

from collections.abc import Callable

import grpc
from artemis.v1 import events_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health, health_pb2


def event(description: str = "") -> events_pb2.Event:
    """Returns an event."""
    times = {"start_time": Timestamp(seconds=1), "end_time": Timestamp(seconds=2)}
    return events_pb2.Event(name="attacked", description=description, **times)  # type: ignore[arg-type]


def check(channel: grpc.Channel, timeout: float) -> str:
    """Returns the health of the server, such as "SERVING"."""
    call = channel.unary_unary(
        f"/{health.SERVICE_NAME}/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    response = call(health_pb2.HealthCheckRequest(), timeout=timeout)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)


def code_of(call: Callable[[], object]) -> str:
    """Calls and returns the name of the status code."""
    try:
        call()
    except grpc.RpcError as error:
        return str(error.code().name) if isinstance(error, grpc.Call) else "no code"
    return "OK"
