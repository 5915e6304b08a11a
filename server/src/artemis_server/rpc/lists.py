"""Pages of one kind of resource (AIP-132, 158, 160), whatever the resource is."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from typing import Any, Generic, Protocol, TypeVar, cast

import grpc
from artemis.v1 import events_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from sqlalchemy.orm import Session

from artemis_server import masks
from artemis_server.db.changes import log
from artemis_server.db.changes.records import fill, fill_event_of
from artemis_server.db.columns import Fields
from artemis_server.db.connection.database import Database
from artemis_server.db.listing.keyset import Position
from artemis_server.db.statements import Row, snapshot
from artemis_server.db.store import Listing, Store
from artemis_server.errors import attempt_both
from artemis_server.rpc import pages
from artemis_server.rpc.lanes import yield_core
from artemis_server.rpc.pages import PageTokens, ResumeTokens

_slow_lists = logging.getLogger(__name__)
M = TypeVar("M", bound=Message)
R = TypeVar("R", bound=Message)


class ListRequest(masks.PartialRead, Protocol):
    """A request for a page of resources."""

    page_size: int
    page_token: str
    filter: str
    order_by: str
    return_total_size: bool


class Lists(Generic[M]):
    """Answers the List method for the resources of one store. Requests are valid already."""

    def __init__(
        self,
        database: Database,
        store: Store[M],
        tokens: PageTokens,
        resume_tokens: ResumeTokens | None = None,
        *,
        slow: float = 0,
    ) -> None:
        """`resume_tokens` makes the tokens of a list whose changes can be watched.

        A list that takes `slow` seconds has a line in the log that says why; 0: none has.
        """
        self._database = database
        self._store = store
        self._tokens = tokens
        self._resume_tokens = resume_tokens
        self._plural = f"{store.kind}s"
        self._slow = slow or float("inf")

    def page(self, request: ListRequest, response: type[R], context: grpc.ServicerContext) -> R:
        """Returns a response of this type with the resources of the page, and the token of the next page if any."""
        bound_to = self._bound_to(request)
        listing, after = self._parse(request, bound_to)
        size = pages.page_size(request.page_size)

        resume_tokens = self._resume_tokens if after is None else None

        def read(session: Session) -> tuple[Any, Position | None]:
            page: Any = response()  # a new one each time: a read is done again when its connection was broken
            with snapshot(session) if request.return_total_size else nullcontext():
                if resume_tokens:  # before the rows, so that no change is missed
                    page.resume_token = resume_tokens.encode(log.current_position(session))
                if request.return_total_size:  # before the rows, too, because it is a part of the size of the page
                    total = listing.count.total(session)
                    page.total_size, page.total_size_estimated = total.rows, total.estimated
                return page, self._add_resources(page, session, listing, after, size, paths.append)

        began, paths = time.monotonic(), list[str]()
        try:
            page, last = self._database.read(read, context)
        finally:  # also when it took longer than the caller waits
            seconds = time.monotonic() - began
            if seconds >= self._slow:
                self._log_slow(request, seconds, getattr(context, "request_id", ""), paths)
        if last is not None:
            page.next_page_token = self._tokens.encode(last, bound_to)
        return cast("R", page)

    def _log_slow(self, request: ListRequest, seconds: float, request_id: str, paths: Sequence[str]) -> None:
        """Logs a list without the values in its filter: at most one line a second for each filter and order.

        The last of `paths`, if any, names the index that the rows were read by.
        """
        message = self._store.message.DESCRIPTOR
        filter_text = self._store.normalized(request.filter)
        fields = {
            "method": f"{message.file.package}.{message.name}Service/List{message.name}s",
            "duration_ms": round(1000 * seconds, 3),
            "request_id": request_id,
            "filter": filter_text,
            "order_by": request.order_by,
            **({"index": paths[-1]} if paths else {}),
        }
        _slow_lists.warning("slow list", extra={"fields": fields, "alike": f"{filter_text}; {request.order_by}"})

    def check(self, request: ListRequest) -> None:
        """Raises InvalidArgument if the filter, order, page token or mask is bad, with a violation for each."""
        self._parse(request, self._bound_to(request))

    def _bound_to(self, request: ListRequest) -> str:
        """Returns what the page tokens of a list are bound to. A mask changes neither the rows nor their order."""
        return json.dumps([self._store.kind, request.filter, request.order_by])

    def _parse(self, request: ListRequest, bound_to: str) -> tuple[Listing, Position | None]:
        (_, after), fields = attempt_both(
            lambda: attempt_both(
                lambda: self._store.parse(request.filter, request.order_by),
                lambda: self._tokens.decode(request.page_token, bound_to) if request.page_token else None,
            ),
            lambda: masks.read_fields(request, self._store.descriptor),
        )
        return self._store.listing(request.filter, request.order_by, fields), after

    def _add_resources(
        self,
        page: Message,
        session: Session,
        listing: Listing,
        after: Position | None,
        size: int,
        on_path: Callable[[str], object],
    ) -> Position | None:
        """Adds resources from one snapshot to the page; returns the position of the last one if there are more."""
        rows: list[Row] = []
        resources = getattr(page, self._plural)
        query, fill, add = listing.query, listing.fill, resources.add
        with closing(query.scan(session, after=after, limit=size + 1, on_path=on_path)) as chunks:
            for chunk in chunks:
                for row in chunk:
                    fill(add(), row)
                rows += chunk
                yield_core()
                if pages.trim(page, resources, size):
                    return query.position(rows[len(resources) - 1])
        return None


class History:
    """Answers ListEventChanges. Requests are valid already."""

    def __init__(self, database: Database, tokens: PageTokens) -> None:
        self._database = database
        self._tokens = tokens

    def page(
        self, request: events_pb2.ListEventChangesRequest, context: grpc.ServicerContext
    ) -> events_pb2.ListEventChangesResponse:
        """Returns a page of the changes of an event, the newest first."""
        before, fields = self._parse(request)
        fill_event = fill_event_of(fields)
        size = pages.page_size(request.page_size)

        def read(session: Session) -> tuple[events_pb2.ListEventChangesResponse, int | None]:
            page = events_pb2.ListEventChangesResponse()
            changes = log.list_changes(session, request.id, before, size + 1)
            for change in changes:
                message = page.changes.add()
                fill(message, change, fill_event)
                if change.previous is not None:
                    message.previous_event.SetInParent()
                    fill_event(message.previous_event, change.previous)
            more = pages.trim(page, page.changes, size)
            return page, changes[len(page.changes) - 1].id if more else None

        page, last = self._database.read(read, context)
        if last is not None:
            page.next_page_token = self._tokens.encode([last], self._listing(request))
        return page

    def check(self, request: events_pb2.ListEventChangesRequest) -> None:
        """Raises InvalidArgument if the page token or the mask is bad, with a violation for each."""
        self._parse(request)

    def _parse(self, request: events_pb2.ListEventChangesRequest) -> tuple[int, Fields]:
        return attempt_both(
            lambda: self._before(request),
            lambda: masks.read_fields(request, cast("Descriptor", events_pb2.Event.DESCRIPTOR)),
        )

    def _before(self, request: events_pb2.ListEventChangesRequest) -> int:
        if not request.page_token:
            return log.NEWEST
        (before,) = self._tokens.decode(request.page_token, self._listing(request))
        return int(before)  # type: ignore[arg-type]

    @staticmethod
    def _listing(request: events_pb2.ListEventChangesRequest) -> str:
        return json.dumps(["event_changes", request.id])
