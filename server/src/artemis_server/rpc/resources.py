"""Create, get, update and delete (AIP-131 to 135) for one kind of resource, whatever the resource is."""

from functools import partial
from typing import Generic, Protocol, TypeVar

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from sqlalchemy.orm import Session

from artemis_server import contract, masks
from artemis_server.db import replication
from artemis_server.db.connection.database import Database
from artemis_server.db.store import Store
from artemis_server.errors import NotFound
from artemis_server.rpc.writes import Write, key_of, run

M = TypeVar("M", bound=Message)


class UpdateRequest(Write, Protocol):
    """A request to update a resource, which is in the field that is named after its kind."""

    @property
    def update_mask(self) -> FieldMask:
        """The fields to set."""


class GetRequest(masks.PartialRead, Protocol):
    """A request for a resource."""

    id: int


class DeleteRequest(Write, Protocol):
    """A request to delete a resource."""

    id: int
    etag: str
    allow_missing: bool


class Resources(Generic[M]):
    """Answers the methods for the resources of one store. Requests are valid already.

    A request that writes a resource has it in the field that is named after its kind (AIP-133, 134):
    CreateEventRequest has it in `event`.
    """

    def __init__(self, database: Database, store: Store[M]) -> None:
        self._database = database
        self._store = store

    def create(self, request: Write, context: grpc.ServicerContext) -> M:
        """Stores the resource and returns it, or what it returned when a request with this id came first."""
        work = partial(self._store.create, message=getattr(request, self._store.kind), key=key_of(request))
        write = self._database.dry_run if request.validate_only else self._database.write_statement
        return write(work, context)

    def get(self, request: GetRequest, context: grpc.ServicerContext) -> M:
        """Returns the resource, or the fields of it that the mask names."""
        fields = masks.read_fields(request, self._store.descriptor)
        return self._database.read(partial(self._store.get, row_id=request.id, fields=fields), context)

    def check_get(self, request: GetRequest) -> None:
        """Raises InvalidArgument if the mask is bad."""
        masks.read_fields(request, self._store.descriptor)

    def update(self, request: UpdateRequest, context: grpc.ServicerContext) -> M:
        """Updates the fields in the mask and returns the resource as it now is."""
        sent = getattr(request, self._store.kind)
        paths = masks.updated_fields(request.update_mask, sent)

        def work(session: Session) -> M:
            merged = self._store.lock(session, sent.id)
            masks.merge(merged, sent, paths)
            contract.validate(merged, f"{self._store.kind}.")
            return self._store.update(session, sent.id, merged, paths, sent.etag)

        return run(self._database, request, self._store.message, work, context)

    def delete(self, request: DeleteRequest, context: grpc.ServicerContext) -> M:
        """Deletes the resource and returns it as it last was; an empty one if it is missing and may be."""

        def work(session: Session) -> M:
            try:
                return self._store.delete(session, request.id, request.etag)
            except NotFound:
                if request.allow_missing:
                    replication.confirm(session)
                    return self._store.message()
                raise

        return run(self._database, request, self._store.message, work, context)
