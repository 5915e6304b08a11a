"""Pages of one kind of resource (AIP-132, 158, 160), whatever the resource is."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Generic, Protocol, TypeVar

import grpc
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from google.protobuf.message import Message
from sqlalchemy.orm import Session

from artemis_server.contract import MOST_BYTES
from artemis_server.db.connection.database import Database
from artemis_server.db.listing.list_query import IDENTITY, Query
from artemis_server.db.statements import Row
from artemis_server.db.store import Store
from artemis_server.rpc import pages
from artemis_server.rpc.known import Known
from artemis_server.rpc.pages import PageTokens, Position

M = TypeVar("M", bound=Message)
MOST_KNOWN = 100
"""How many resources a page may hold to be kept: larger ones are for reading everything once."""


class ListRequest(Protocol):
    """A request for a page of resources."""

    page_size: int
    page_token: str
    filter: str
    order_by: str


@dataclass(frozen=True)
class _Page(Generic[M]):
    """A page that is asked for: the response, its field of resources, the list, where it begins, and its size."""

    response: Message
    into: RepeatedCompositeFieldContainer[M]
    query: Query
    after: Position | None
    size: int


class Lists(Generic[M]):
    """Fills pages with the resources of one store."""

    def __init__(self, database: Database, store: Store[M], tokens: PageTokens) -> None:
        self._database = database
        self._store = store
        self._tokens = tokens
        self._plural = f"{store.kind}s"
        self._known = Known()

    def fill(
        self,
        request: ListRequest,
        response: Message,
        into: RepeatedCompositeFieldContainer[M],
        context: grpc.ServicerContext,
    ) -> str:
        """Adds resources to `into`, a field of the response, and returns the token of the next page."""
        query = self._store.query(request.filter, request.order_by)
        listing = json.dumps([self._store.kind, request.filter, request.order_by])
        after = self._tokens.decode(request.page_token, listing) if request.page_token else None
        page = _Page(response, into, query, after, pages.page_size(request.page_size))
        last = self._database.read(lambda session: self._fill(session, page), context)
        return "" if last is None else self._tokens.encode(last, listing)

    def _fill(self, session: Session, page: _Page[M]) -> Position | None:
        """Fills the page; returns the position of the last resource if there are more."""
        del page.into[:]  # a read is done again when its connection was broken
        if page.size > MOST_KNOWN:
            return self._read(session, page)
        listed = page.query.identities
        rows = list(chain.from_iterable(listed.scan(session, after=page.after, limit=page.size + 1)))
        known = self._known.find_all([row[: len(IDENTITY)] for row in rows[: page.size]])
        if known is None or len(known) > MOST_BYTES - pages.TOKEN_BYTES:
            return self._read(session, page)
        page.response.MergeFromString(known)
        return listed.position(rows[page.size - 1]) if len(rows) > page.size else None

    def _read(self, session: Session, page: _Page[M]) -> Position | None:
        """Fills the page from rows that are one snapshot."""
        rows: list[Row] = []
        fill, add = self._store.fill, page.into.add
        with closing(page.query.scan(session, after=page.after, limit=page.size + 1)) as chunks:
            for chunk in chunks:
                for row in chunk:
                    fill(add(), row)
                rows += chunk
                if pages.trim(page.response, page.into, page.size):
                    break
        if page.size <= MOST_KNOWN:
            self._keep(type(page.response), page.into, rows)
        return page.query.position(rows[len(page.into) - 1]) if len(rows) > len(page.into) else None

    def _keep(self, response: type[Message], messages: Sequence[M], rows: Sequence[Row]) -> None:
        """Keeps a page of each message alone: joined, serialized pages are the page of all (protobuf, "Encoding")."""
        for message, row in zip(messages, rows, strict=False):
            entry = response(**{self._plural: [message]})
            self._known.keep(self._store.identity(row), entry.SerializeToString())
