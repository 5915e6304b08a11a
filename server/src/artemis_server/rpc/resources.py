"""The five standard methods of one kind of resource (AIP-131 to 135), whatever the resource is."""

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
from artemis_server.db.store import Store
from artemis_server.errors import NotFound
from artemis_server.rpc import masks, pages
from artemis_server.rpc.pages import PageTokens

M = TypeVar("M", bound=Message)


class Resource(Protocol):
    """What every resource has."""

    id: int
    etag: str


class DeleteRequest(Protocol):
    """A request to delete a resource."""

    id: int
    etag: str
    allow_missing: bool


class ListRequest(Protocol):
    """A request for a page of resources."""

    page_size: int
    page_token: str


class Resources(Generic[M]):
    """Answers the standard methods for the resources of one store. Requests are valid already."""

    def __init__(self, database: Database, store: Store[M], tokens: PageTokens) -> None:
        self._database = database
        self._store = store
        self._tokens = tokens
        self._prefix = f"{store.kind}."

    def create(self, message: M, context: grpc.ServicerContext) -> M:
        """Stores the resource and returns it."""
        return self._database.write(partial(self._store.create, message=message), context.time_remaining())

    def get(self, resource_id: int) -> M:
        """Returns the resource."""
        return self._database.read(partial(self._store.get, row_id=resource_id))

    def list(self, request: ListRequest, into: RepeatedCompositeFieldContainer[M]) -> str:
        """Adds a page of resources to `into` and returns the token of the next page."""
        listing = self._store.kind
        after = int(self._tokens.decode(request.page_token, listing)) if request.page_token else 0
        size = pages.page_size(request.page_size)
        last = self._database.read(partial(self._fill, into=into, after=after, size=size))
        return "" if last is None else self._tokens.encode(str(last), listing)

    def _fill(self, session: Session, *, into: RepeatedCompositeFieldContainer[M], after: int, size: int) -> int | None:
        """Adds the resources after `after` until the page is full; returns the last id if there are more."""
        space, last = pages.MOST_BYTES - pages.TOKEN_BYTES, after
        with closing(self._store.scan(session, after=after, limit=size + 1)) as chunks:
            for row in chain.from_iterable(chunks):
                if len(into) == size:
                    return last
                space -= self._store.fill(into.add(), row).ByteSize() + pages.FRAME_BYTES
                if space < 0:
                    del into[-1]
                    return last
                last = row[0]
        return None

    def update(self, message: M, mask: FieldMask, context: grpc.ServicerContext) -> M:
        """Updates the fields in the mask and returns the resource as it now is."""
        paths = masks.updated_fields(mask, message)
        sent = cast("Resource", message)

        def work(session: Session) -> M:
            merged = self._store.get(session, sent.id)
            masks.merge(merged, message, paths)
            contract.validate(merged, self._prefix)
            return self._store.update(session, sent.id, merged, paths, sent.etag)

        return self._database.write(work, context.time_remaining())

    def delete(self, request: DeleteRequest, context: grpc.ServicerContext) -> M:
        """Deletes the resource and returns it as it last was; an empty one if it may be and is missing."""
        work = partial(self._store.delete, row_id=request.id, etag=request.etag)
        try:
            return self._database.write(work, context.time_remaining())
        except NotFound:
            if request.allow_missing:
                return self._store.message()
            raise
