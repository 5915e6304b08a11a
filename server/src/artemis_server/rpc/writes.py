"""Writes: each has an id (AIP-155), may be a dry run (AIP-163), and has a caller who waits."""

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar, cast

import grpc
from google.protobuf.message import Message
from sqlalchemy.orm import Session

from artemis_server.db.connection.database import Database
from artemis_server.db.idempotency import Key, once
from artemis_server.db.store import Store

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
    """Returns the result of the work, or the stored response if a request with this id came before.

    If the request is to be validated only, nothing that the work does stays.
    """
    write = database.dry_run if request.validate_only else database.write
    return write(once(cast("Message", request), request.request_id, response, work), context)


def create(database: Database, request: Write, store: Store[M], context: grpc.ServicerContext) -> M:
    """Stores the resource of the request and returns it. See `run`, but a single statement is enough here."""
    message: M = getattr(request, store.kind)
    key = Key(cast("Message", request), request.request_id) if request.request_id else None
    write = database.dry_run if request.validate_only else database.write_statement
    return write(partial(store.create, message=message, key=key), context)
