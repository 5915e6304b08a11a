"""The batch methods of one kind of resource (AIP-231 to 235), whatever the resource is."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import grpc
from google.protobuf.message import Message
from sqlalchemy.orm import Session

from artemis_server import contract
from artemis_server.db.batches import BatchStore, Change, check_size
from artemis_server.db.connection.database import Database
from artemis_server.errors import InvalidArgument, Violation, apply_to_each
from artemis_server.rpc import masks
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

    def create(self, batch: BatchRequest[Write], response: type[R], context: grpc.ServicerContext) -> R:
        """Stores the resources and returns them."""
        _check_options(batch)
        messages: list[M] = [getattr(request, self._store.kind) for request in batch.requests]

        def work(session: Session) -> R:
            return self._answer(response, "requests", self._store.create_many(session, messages, self._path))

        return run(self._database, batch, response, work, context)

    def update(self, batch: BatchRequest[UpdateRequest], response: type[R], context: grpc.ServicerContext) -> R:
        """Updates the resources and returns them as they now are."""
        _check_options(batch)
        messages = [getattr(request, self._store.kind) for request in batch.requests]
        ids = [message.id for message in messages]
        _check_distinct(ids, f"{self._store.kind}.id")
        paths = [
            _paths(request, message, index)
            for index, (request, message) in enumerate(zip(batch.requests, messages, strict=True))
        ]

        def work(session: Session) -> R:
            found = self._store.lock_many(session, ids)
            changes = apply_to_each(messages, lambda index, sent: self._change(found, sent, paths[index], index))
            return self._answer(response, "requests", self._store.update_many(session, changes, self._path))

        return run(self._database, batch, response, work, context)

    def delete(self, batch: BatchRequest[DeleteRequest], response: type[R], context: grpc.ServicerContext) -> R:
        """Deletes the resources and returns them as they last were; an empty one stands for one that may be missing."""
        _check_options(batch)
        ids = [request.id for request in batch.requests]
        _check_distinct(ids, "id")

        def work(session: Session) -> R:
            found = self._store.lock_many(session, ids)
            last = [
                self._store.message()
                if request.allow_missing and request.id not in found
                else self._store.expect(found, request.id, request.etag, f"requests[{index}].")
                for index, request in enumerate(batch.requests)
            ]
            self._store.delete_many(session, list(found.values()))
            return self._answer(response, "requests", last)

        return run(self._database, batch, response, work, context)

    def _change(self, found: dict[int, M], sent: Any, paths: Sequence[str], index: int) -> Change[M]:
        prefix = f"{self._path(index)}."
        stored = self._store.expect(found, sent.id, sent.etag, prefix)
        merged = type(stored)()
        merged.CopyFrom(stored)
        masks.merge(merged, sent, paths)
        contract.validate(merged, prefix)
        return Change(stored, merged, paths)

    def _path(self, index: int) -> str:
        return f"requests[{index}].{self._store.kind}"

    def _answer(self, response: type[R], field: str, messages: Iterable[M]) -> R:
        answer = response()
        getattr(answer, self._plural).extend(messages)
        check_size(answer, field)
        return answer


def _paths(request: UpdateRequest, message: Message, index: int) -> tuple[str, ...]:
    try:
        return masks.updated_fields(request.update_mask, message)
    except InvalidArgument as error:
        raise error.under(f"requests[{index}].") from None


def _check_options(batch: BatchRequest[Write]) -> None:
    """Raises InvalidArgument when a request of the batch has an id or is a dry run: only the batch can be."""

    def check(index: int, request: Write) -> None:
        field = "request_id" if request.request_id else "validate_only" if request.validate_only else ""
        if field:
            path, description = f"requests[{index}].{field}", "must not be set; set that of the batch"
            raise InvalidArgument(Violation(field=path, description=description, rule=f"requests.{field}"))

    apply_to_each(batch.requests, check)


def _check_distinct(ids: Sequence[int], field: str) -> None:
    """Raises InvalidArgument for each id that an earlier request of the batch has as well."""
    seen: dict[int, int] = {}

    def check(index: int, row_id: int) -> None:
        first = seen.setdefault(row_id, index)
        if first != index:
            path, description = f"requests[{index}].{field}", f"{row_id} is in requests[{first}] already"
            raise InvalidArgument(Violation(field=path, description=description, rule="requests.repeated"))

    apply_to_each(ids, check)
