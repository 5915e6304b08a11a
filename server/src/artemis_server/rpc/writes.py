"""What every write has in common: its id (AIP-155), its rehearsal (AIP-163) and its caller."""

from collections.abc import Callable
from typing import Protocol, TypeVar, cast

import grpc
from google.protobuf.message import Message
from sqlalchemy.orm import Session

from artemis_server.db.connection.database import Database
from artemis_server.db.idempotency import once

M = TypeVar("M", bound=Message)


class Write(Protocol):
    """A request that changes something."""

    request_id: str
    validate_only: bool


def run(
    database: Database,
    request: Write,
    response: type[M],
    work: Callable[[Session], M],
    context: grpc.ServicerContext,
) -> M:
    """Returns what the work returns, or what it returned when a request with this id came first.

    If the request is to be validated only, nothing that the work does stays.
    """
    write = database.rehearse if request.validate_only else database.write
    return write(once(cast("Message", request), request.request_id, response, work), context)
