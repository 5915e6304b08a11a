"""Bare calls, for what the client does not let through, and the errors of calls that must change nothing."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from artemis.v1.events_pb2_grpc import EventServiceStub
from artemis.v1.users_pb2_grpc import UserServiceStub
from artemis_client import ArtemisError
from artemis_client.errors import from_rpc_error
from google.protobuf.message import Message

from tests.e2e.servers import PATIENCE, Server, contents

MISSING = 2**62
"""An id that no row has."""
STALE = "AAAAAAAAAAk="
"""The etag of version 9, which no row of a test reaches."""


def call(channel: grpc.Channel, request: Message) -> Any:
    """Returns the response; raises ArtemisError. Nothing is tried again."""
    method = type(request).__name__.removesuffix("Request")
    stub = UserServiceStub(channel) if method.endswith(("User", "Users")) else EventServiceStub(channel)
    try:
        return getattr(stub, method)(request, timeout=PATIENCE)
    except grpc.RpcError as error:
        raise from_rpc_error(error) from None


def refused(server: Server, work: Callable[[], object]) -> ArtemisError:
    """Returns what the work raises, which must have changed nothing."""
    before = contents(server.database)
    with pytest.raises(ArtemisError) as caught:
        work()
    assert before == contents(server.database)
    return caught.value


def fields(error: ArtemisError) -> list[str]:
    """Returns the paths of the fields that the error blames."""
    return [each.field for each in error.violations]
