"""Writes: each has an id (AIP-155), may be a dry run (AIP-163), and has a caller who waits."""

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar, cast

import grpc
from google.protobuf.message import Message
from sqlalchemy.orm import Session

from artemis_server.db.connection.database import Database
from artemis_server.db.idempotency import RequestKey

M = TypeVar("M", bound=Message)


class Write(Protocol):
    """A request that changes something."""

    request_id: str
    validate_only: bool


def key_of(request: Write) -> RequestKey | None:
    """Returns the key of the request, if it has an id."""
    return RequestKey(cast("Message", request), request.request_id) if request.request_id else None


def run(
    database: Database, request: Write, response: type[M], work: Callable[[Session], M], context: grpc.ServicerContext
) -> M:
    """Returns the result of the work, or the stored response if a request with this id came before.

    If the request is to be validated only, nothing that the work does stays.
    """
    key = key_of(request)
    write = database.dry_run if request.validate_only else database.write
    return write(partial(key.answer, response=response, work=work) if key else work, context)
