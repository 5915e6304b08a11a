"""The batch methods of one kind of resource (AIP-231 to 235), whatever the resource is."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Generic, Protocol, TypeVar, cast

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from sqlalchemy.orm import Session

from artemis_server import contract
from artemis_server.db.batches import BatchStore, Change, check_size
from artemis_server.db.connection.database import Database
from artemis_server.errors import InvalidArgument, Violation, gather
from artemis_server.rpc import masks
from artemis_server.rpc.resources import DeleteRequest, Resource
from artemis_server.rpc.writes import Write, run

M = TypeVar("M", bound=Message)
R = TypeVar("R", bound=Message)


class BatchWrite(Write, Protocol):
    """A request of many writes."""

    @property
    def requests(self) -> Iterable[Write]:
        """The writes."""


class Batches(Generic[M]):
    """Answers the batch methods for the resources of one store. Requests are valid already."""

    def __init__(self, database: Database, store: BatchStore[M]) -> None:
        self._database = database
        self._store = store
        self._plural = f"{store.kind}s"

    def get(self, ids: Sequence[int], response: type[R], context: grpc.ServicerContext) -> R:
        """Returns the resources, in the order of the ids."""
        found = self._database.read(partial(self._store.find_many, ids=ids, field="ids"), context)
        for index, row_id in enumerate(ids):
            if row_id not in found:
                raise self._store.not_found(row_id).at(f"ids[{index}]")
        return self._answer(response, "ids", [found[row_id] for row_id in ids])

    def create(self, batch: BatchWrite, messages: Sequence[M], response: type[R], context: grpc.ServicerContext) -> R:
        """Stores the resources and returns them."""
        _refuse_own_options(batch)

        def work(session: Session) -> R:
            return self._answer(response, "requests", self._store.create_many(session, messages, self._path))

        return run(self._database, batch, response, work, context)

    def update(
        self,
        batch: BatchWrite,
        messages: Sequence[M],
        field_masks: Sequence[FieldMask],
        response: type[R],
        context: grpc.ServicerContext,
    ) -> R:
        """Updates the resources and returns them as they now are."""
        _refuse_own_options(batch)
        ids = [cast("Resource", message).id for message in messages]
        _refuse_repeated(ids, f"{self._store.kind}.id")
        paths = [
            _paths(mask, message, index)
            for index, (mask, message) in enumerate(zip(field_masks, messages, strict=True))
        ]

        def work(session: Session) -> R:
            found = self._store.lock_many(session, ids)
            changes = gather(messages, lambda index, message: self._change(found, message, paths[index], index))
            return self._answer(response, "requests", self._store.update_many(session, changes, self._path))

        return run(self._database, batch, response, work, context)

    def delete(
        self, batch: BatchWrite, requests: Sequence[DeleteRequest], response: type[R], context: grpc.ServicerContext
    ) -> R:
        """Deletes the resources and returns them as they last were; an empty one stands for one that may be missing."""
        _refuse_own_options(batch)
        _refuse_repeated([request.id for request in requests], "id")

        def work(session: Session) -> R:
            found = self._store.lock_many(session, [request.id for request in requests])
            last = [
                self._store.message()
                if request.allow_missing and request.id not in found
                else self._store.expect(found, request.id, request.etag, f"requests[{index}].")
                for index, request in enumerate(requests)
            ]
            self._store.delete_many(session, list(found.values()))
            return self._answer(response, "requests", last)

        return run(self._database, batch, response, work, context)

    def _change(self, found: dict[int, M], message: M, paths: Sequence[str], index: int) -> Change[M]:
        sent = cast("Resource", message)
        prefix = f"{self._path(index)}."
        stored = self._store.expect(found, sent.id, sent.etag, prefix)
        merged = type(stored)()
        merged.CopyFrom(stored)
        masks.merge(merged, message, paths)
        contract.validate(merged, prefix)
        return Change(stored, merged, paths)

    def _path(self, index: int) -> str:
        return f"requests[{index}].{self._store.kind}"

    def _answer(self, response: type[R], field: str, messages: Iterable[M]) -> R:
        answer = response()
        getattr(answer, self._plural).extend(messages)
        check_size(answer, field)
        return answer


def _paths(mask: FieldMask, message: Message, index: int) -> tuple[str, ...]:
    try:
        return masks.updated_fields(mask, message)
    except InvalidArgument as error:
        raise error.under(f"requests[{index}].") from None


def _refuse_own_options(batch: BatchWrite) -> None:
    """Refuses an id or a rehearsal of a part of what is done as a whole."""

    def refuse(index: int, request: Write) -> None:
        field = "request_id" if request.request_id else "validate_only" if request.validate_only else ""
        if field:
            path, description = f"requests[{index}].{field}", "must not be set; set that of the batch"
            raise InvalidArgument(Violation(field=path, description=description, rule=f"requests.{field}"))

    gather(batch.requests, refuse)


def _refuse_repeated(ids: Sequence[int], field: str) -> None:
    seen: dict[int, int] = {}

    def refuse(index: int, row_id: int) -> None:
        first = seen.setdefault(row_id, index)
        if first != index:
            path, description = f"requests[{index}].{field}", f"{row_id} is in requests[{first}] already"
            raise InvalidArgument(Violation(field=path, description=description, rule="requests.repeated"))

    gather(ids, refuse)
