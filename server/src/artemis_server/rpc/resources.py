"""The five standard methods of one kind of resource (AIP-131 to 135), whatever the resource is."""

from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, TypeVar, cast

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from google.protobuf.message import Message
from sqlalchemy.orm import Session

from artemis_server import contract
from artemis_server.db.connection.database import Database
from artemis_server.db.store import Store
from artemis_server.errors import NotFound
from artemis_server.rpc import masks
from artemis_server.rpc.lists import ListRequest, Lists
from artemis_server.rpc.pages import PageTokens
from artemis_server.rpc.writes import Write, create, run

M = TypeVar("M", bound=Message)


class Resource(Protocol):
    """What every resource has."""

    id: int
    etag: str


class DeleteRequest(Write, Protocol):
    """A request to delete a resource."""

    id: int
    etag: str
    allow_missing: bool


class Resources(Generic[M]):
    """Answers the standard methods for the resources of one store. Requests are valid already."""

    def __init__(self, database: Database, store: Store[M], tokens: PageTokens) -> None:
        self._database = database
        self._store = store
        self._prefix = f"{store.kind}."
        self._lists = Lists(database, store, tokens)

    def create(self, request: Write, message: M, context: grpc.ServicerContext) -> M:
        """Stores the resource and returns it."""
        return create(self._database, request, self._store, message, context)

    def get(self, resource_id: int, context: grpc.ServicerContext) -> M:
        """Returns the resource."""
        return self._database.read(partial(self._store.get, row_id=resource_id), context)

    def list(
        self,
        request: ListRequest,
        page: Message,
        into: RepeatedCompositeFieldContainer[M],
        context: grpc.ServicerContext,
    ) -> str:
        """Adds resources to `into`, a field of `page`, and returns the token of the next page."""
        return self._lists.fill(request, page, into, context)

    def update(self, request: Write, message: M, mask: FieldMask, context: grpc.ServicerContext) -> M:
        """Updates the fields in the mask and returns the resource as it now is."""
        paths = masks.updated_fields(mask, message)
        sent = cast("Resource", message)

        def work(session: Session) -> M:
            merged = self._store.lock(session, sent.id)
            masks.merge(merged, message, paths)
            contract.validate(merged, self._prefix)
            return self._store.update(session, sent.id, merged, paths, sent.etag)

        return self._write(request, work, context)

    def delete(self, request: DeleteRequest, context: grpc.ServicerContext) -> M:
        """Deletes the resource and returns it as it last was; an empty one if it may be and is missing."""

        def work(session: Session) -> M:
            try:
                return self._store.delete(session, request.id, request.etag)
            except NotFound:
                if request.allow_missing:
                    return self._store.message()
                raise

        return self._write(request, work, context)

    def _write(self, request: Write, work: Callable[[Session], M], context: grpc.ServicerContext) -> M:
        return run(self._database, request, self._store.message, work, context)
