"""The batch methods of one kind of resource (AIP-231 to 235), whatever the resource is."""

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

import grpc
from google.protobuf.message import Message
from sqlalchemy.orm import Session

from artemis_server import contract, masks
from artemis_server.db import replication
from artemis_server.db.batches import BatchStore, Change, check_size
from artemis_server.db.connection.database import Database
from artemis_server.errors import apply_to_each
from artemis_server.rpc.resources import DeleteRequest, UpdateRequest
from artemis_server.rpc.writes import Write, run

M = TypeVar("M", bound=Message)
R = TypeVar("R", bound=Message)
Write_co = TypeVar("Write_co", bound=Write, covariant=True)


class BatchRequest(Write, Protocol[Write_co]):
    """A request of many writes."""

    @property
    def requests(self) -> Sequence[Write_co]:
        """The writes."""


class BatchGetRequest(masks.PartialRead, Protocol):
    """A request for several resources."""

    @property
    def ids(self) -> Sequence[int]:
        """The ids of the resources."""


class Batches(Generic[M]):
    """Answers the batch methods for the resources of one store. Requests are valid already."""

    def __init__(self, database: Database, store: BatchStore[M]) -> None:
        self._database = database
        self._store = store
        self._plural = f"{store.kind}s"

    def get(self, request: BatchGetRequest, response: type[R], context: grpc.ServicerContext) -> R:
        """Returns the resources, or the fields of them that the mask names, in the order of the ids."""
        ids, fields = request.ids, masks.read_fields(request, self._store.descriptor)

        def work(session: Session) -> dict[int, M]:
            found = self._store.find_many(session, ids=ids, field="ids", fields=fields)
            for index, row_id in enumerate(ids):
                if row_id not in found:
                    raise self._store.not_found(row_id).at(f"ids[{index}]")
            return found

        found = self._database.read(work, context)
        return self._answer(response, "ids", [found[row_id] for row_id in ids])

    def check_get(self, request: BatchGetRequest) -> None:
        """Raises InvalidArgument if the mask is bad."""
        masks.read_fields(request, self._store.descriptor)

    def create(self, batch: BatchRequest[Write], response: type[R], context: grpc.ServicerContext) -> R:
        """Stores the resources and returns them."""
        messages: list[M] = [getattr(request, self._store.kind) for request in batch.requests]

        def work(session: Session) -> R:
            return self._answer(response, "requests", self._store.create_many(session, messages))

        return run(self._database, batch, response, work, context)

    def update(self, batch: BatchRequest[UpdateRequest], response: type[R], context: grpc.ServicerContext) -> R:
        """Updates the resources and returns them as they now are."""
        messages = [getattr(request, self._store.kind) for request in batch.requests]
        ids = [message.id for message in messages]
        paths = [
            masks.updated_fields(request.update_mask, message)
            for request, message in zip(batch.requests, messages, strict=True)
        ]

        def work(session: Session) -> R:
            found = self._store.lock_many(session, ids)
            changes = apply_to_each(messages, lambda index, sent: self._change(found, sent, paths[index], index))
            check_size(found.values(), "requests")
            return self._answer(response, "requests", self._store.update_many(session, changes))

        return run(self._database, batch, response, work, context)

    def delete(self, batch: BatchRequest[DeleteRequest], response: type[R], context: grpc.ServicerContext) -> R:
        """Deletes the resources and returns them as they last were; an empty one stands for one that may be missing."""
        ids = [request.id for request in batch.requests]

        def work(session: Session) -> R:
            found = self._store.lock_many(session, ids)
            last = [
                self._store.message()
                if request.allow_missing and request.id not in found
                else self._store.expect(found, request.id, request.etag, f"requests[{index}].")
                for index, request in enumerate(batch.requests)
            ]
            if len(found) < len(set(ids)):
                replication.confirm(session)
            check_size(last, "requests")
            self._store.delete_many(session, last)
            return self._answer(response, "requests", last)

        return run(self._database, batch, response, work, context)

    def _change(self, found: dict[int, M], sent: Any, paths: Sequence[str], index: int) -> Change[M]:
        prefix = f"requests[{index}].{self._store.kind}."
        merged = self._store.expect(found, sent.id, sent.etag, prefix)  # no other request of the batch has this row
        masks.merge(merged, sent, paths)
        contract.validate(merged, prefix)
        return Change(merged, paths)

    def _answer(self, response: type[R], field: str, messages: Sequence[M]) -> R:
        check_size(messages, field)
        answer = response()
        getattr(answer, self._plural).extend(messages)
        return answer
