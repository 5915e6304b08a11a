"""The five standard methods of one kind of resource (AIP-131 to 135), whatever the resource is."""

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from itertools import chain
from typing import Generic, Protocol, TypeVar, cast

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from google.protobuf.message import Message
from sqlalchemy.orm import Session

from artemis_server import contract
from artemis_server.db.database import Database
from artemis_server.db.queries import IDENTITY, Query
from artemis_server.db.statements import Row
from artemis_server.db.store import Store
from artemis_server.errors import NotFound
from artemis_server.rpc import masks, pages
from artemis_server.rpc.known import Known
from artemis_server.rpc.pages import PageTokens, Position
from artemis_server.rpc.writes import Write, run

M = TypeVar("M", bound=Message)
MOST_KNOWN = 100  # resources of a page that may be known


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
        self._plural = f"{store.kind}s"
        self._messages = Known()
        self._entries = Known()

    def create(self, request: Write, message: M, context: grpc.ServicerContext) -> M:
        """Stores the resource and returns it."""
        return self._write(request, partial(self._store.create, message=message), context)

    def get(self, resource_id: int, context: grpc.ServicerContext) -> M:
        """Returns the resource."""
        return self._database.read(partial(self._get, row_id=resource_id), context.time_remaining())

    def _get(self, session: Session, *, row_id: int) -> M:
        known = self._messages.find(self._store.identify(session, row_id))
        if known is not None:
            return self._store.message.FromString(known)
        row = self._store.row(session, row_id)
        message = self._store.fill(self._store.message(), row)
        self._messages.keep(self._store.identified(row), message.SerializeToString())
        return message

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
        return "" if last is None else self._tokens.encode(last, listing)

    def _fill(
        self,
        session: Session,
        *,
        page: Message,
        into: RepeatedCompositeFieldContainer[M],
        query: Query,
        after: Position | None,
        size: int,
    ) -> Position | None:
        """Fills the page with the resources after `after`; returns the position of the last one if there are more.

        Pages of usual sizes are asked for again and again, and what is in them is often known; larger ones
        are for reading everything once.
        """
        del into[:]
        if size <= MOST_KNOWN:
            rows = list(chain.from_iterable(query.identities.scan(session, after=after, limit=size + 1)))
            known = self._entries.find_all([row[: len(IDENTITY)] for row in rows[:size]])
            if known is not None and len(known) <= contract.MOST_BYTES - pages.TOKEN_BYTES:
                page.MergeFromString(known)
                return query.identities.position(rows[size - 1]) if len(rows) > size else None
        return self._read(session, page, into, query, after, size)

    def _read(
        self,
        session: Session,
        page: Message,
        into: RepeatedCompositeFieldContainer[M],
        query: Query,
        after: Position | None,
        size: int,
    ) -> Position | None:
        """Fills the page from rows that are one snapshot."""
        rows: list[Row] = []
        fill, add = self._store.fill, into.add
        with closing(query.scan(session, after=after, limit=size + 1)) as chunks:
            for chunk in chunks:
                for row in chunk:
                    fill(add(), row)
                rows += chunk
                if pages.trim(page, into, size):
                    break
        if size <= MOST_KNOWN:
            self._keep(page, into, rows)
        return query.position(rows[len(into) - 1]) if len(rows) > len(into) else None

    def _keep(self, page: Message, messages: Sequence[M], rows: Sequence[Row]) -> None:
        """Keeps a page of each message alone: joined, serialized pages are the page of all (protobuf, "Encoding")."""
        for message, row in zip(messages, rows, strict=False):
            entry = type(page)(**{self._plural: [message]})
            self._entries.keep(self._store.identity(row), entry.SerializeToString())

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
