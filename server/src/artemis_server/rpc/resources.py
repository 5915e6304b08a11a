"""The five standard methods of one kind of resource (AIP-131 to 135), whatever the resource is."""

import json
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Generic, Protocol, TypeVar, cast

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from google.protobuf.message import Message
from sqlalchemy.orm import Session

from artemis_server import contract
from artemis_server.db.database import Database
from artemis_server.db.queries import Query
from artemis_server.db.statements import Row
from artemis_server.db.store import Store
from artemis_server.errors import NotFound
from artemis_server.rpc import masks, pages
from artemis_server.rpc.pages import PageTokens, Position
from artemis_server.rpc.writes import Write, run

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


class ListRequest(Protocol):
    """A request for a page of resources."""

    page_size: int
    page_token: str
    filter: str
    order_by: str


class Resources(Generic[M]):
    """Answers the standard methods for the resources of one store. Requests are valid already."""

    def __init__(self, database: Database, store: Store[M], tokens: PageTokens) -> None:
        self._database = database
        self._store = store
        self._tokens = tokens
        self._prefix = f"{store.kind}."

    def create(self, request: Write, message: M, context: grpc.ServicerContext) -> M:
        """Stores the resource and returns it."""
        return self._write(request, partial(self._store.create, message=message), context)

    def get(self, resource_id: int, context: grpc.ServicerContext) -> M:
        """Returns the resource."""
        return self._database.read(partial(self._store.get, row_id=resource_id), context.time_remaining())

    def list(
        self,
        request: ListRequest,
        page: Message,
        into: RepeatedCompositeFieldContainer[M],
        context: grpc.ServicerContext,
    ) -> str:
        """Adds resources to `into`, a field of `page`, and returns the token of the next page."""
        query = self._store.query(request.filter, request.order_by)
        listing = json.dumps([self._store.kind, request.filter, request.order_by])
        after = self._tokens.decode(request.page_token, listing) if request.page_token else None
        size = pages.page_size(request.page_size)
        work = partial(self._fill, page=page, into=into, query=query, after=after, size=size)
        last = self._database.read(work, context.time_remaining())
        return "" if last is None else self._tokens.encode(query.position(last), listing)

    def _fill(
        self,
        session: Session,
        *,
        page: Message,
        into: RepeatedCompositeFieldContainer[M],
        query: Query,
        after: Position | None,
        size: int,
    ) -> Row | None:
        """Fills the page with the resources after `after`; returns the row of the last one if there are more."""
        del into[:]
        fill, add = self._store.fill, into.add
        rows: list[Row] = []
        with closing(query.scan(session, after=after, limit=size + 1)) as chunks:
            for chunk in chunks:
                for row in chunk:
                    fill(add(), row)
                rows += chunk
                if pages.trim(page, into, size):
                    return rows[len(into) - 1]
        return None

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
