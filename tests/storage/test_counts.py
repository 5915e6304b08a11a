"""Totals of lists (AIP-158): exact up to a bound, and above it an estimate that is never below the bound."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import cast

import grpc
import pytest
from artemis.v1.users_pb2 import ListUsersRequest, ListUsersResponse
from artemis_server.db import secrets
from artemis_server.db.connection.database import Database
from artemis_server.db.events import EventStore
from artemis_server.db.listing import counts
from artemis_server.db.listing.counts import MAX_EXACT, SAMPLE_SIZE, Total, sample_ids
from artemis_server.db.statements import snapshot
from artemis_server.db.users import UserStore
from artemis_server.rpc.lists import Lists
from artemis_server.rpc.pages import PageTokens
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from tests.storage.samples import Waiting, new_event, new_user

USERS, EVENTS = UserStore(), EventStore()
INSERT = """
    INSERT INTO users (id, email, first_name, last_name, source, external_id, create_time, update_time, version)
    WITH RECURSIVE numbers (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})
    SELECT n * {step}, 'user' || n || '@example.com', CASE WHEN n % 2 = 0 THEN 'even' ELSE 'odd' END,
        CASE WHEN n <= 20000 THEN 'early' ELSE 'late' END, '', '', 0, 0, 1
    FROM numbers
"""


def insert(engine: Engine, first: int, last: int, step: int = 1) -> None:
    """Inserts users with the ids first * step, ..., last * step."""
    with engine.begin() as connection:
        connection.execute(text(INSERT.format(first=first, last=last, step=step)))


def total(database: Database, chosen: str = "") -> Total:
    return database.read(USERS.listing(chosen, "", None).count.total)


def test_a_total_is_exact_up_to_its_bound_and_then_an_estimate(database: Database, engine: Engine) -> None:
    assert total(database) == Total(rows=0, estimated=False)
    insert(engine, 1, MAX_EXACT)
    assert total(database) == Total(rows=10_000, estimated=False)
    assert total(database, "first_name = even OR id <= 3") == Total(rows=5_002, estimated=False)
    assert total(database, "NOT first_name:*") == Total(rows=0, estimated=False)
    insert(engine, MAX_EXACT + 1, MAX_EXACT + 1)
    assert total(database) == Total(rows=10_001, estimated=True)
    assert total(database, "id <= 10000") == Total(rows=10_000, estimated=False)


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.acceptance), 3])
def test_an_estimate_is_close_whatever_share_of_the_ids_there_are(
    database: Database, engine: Engine, step: int
) -> None:
    """Every third id exists, every second of them matches. A deviation of a tenth is more than five sigma."""
    insert(engine, 1, 60_000, step)
    for chosen, rows in (("", 60_000), ("first_name = even", 30_000), ("last_name = late AND id > 1", 40_000)):
        found = total(database, chosen)
        assert found.estimated
        assert found.rows == pytest.approx(rows, rel=0.1)


def test_an_estimate_is_never_below_the_rows_that_were_counted(database: Database, engine: Engine) -> None:
    """An id far away makes the rows a vanishing share of the ids."""
    insert(engine, 1, MAX_EXACT + 1)
    insert(engine, 2**40, 2**40)
    assert total(database, "first_name:*") == Total(rows=10_001, estimated=True)


def test_an_estimate_is_never_above_what_the_contract_can_say(
    database: Database, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "MAX_EXACT", 2)
    monkeypatch.setattr(counts, "sample_ids", lambda lowest, span: [lowest, lowest + span - 1] * (SAMPLE_SIZE // 2))
    insert(engine, 1, 3)
    insert(engine, 2**62, 2**62)
    assert total(database) == Total(rows=2**31 - 1, estimated=True)


@pytest.mark.parametrize(("lowest", "span"), [(1, 1), (5, SAMPLE_SIZE - 1), (7, 3 * SAMPLE_SIZE + 1), (1, 2**63 - 1)])
def test_a_sample_has_an_id_of_each_part_of_the_ids(lowest: int, span: int) -> None:
    sample = sample_ids(lowest, span)
    assert len(sample) == SAMPLE_SIZE
    for part, row_id in enumerate(sample):
        assert part * span // SAMPLE_SIZE <= row_id - lowest < max((part + 1) * span / SAMPLE_SIZE, 1)


def test_a_total_of_events_uses_the_filter_of_the_list(database: Database) -> None:
    for number in range(3):
        database.write(partial(EVENTS.create, message=new_event(name=f"Event {number}")))
    chosen = 'name = "Event *" AND NOT name:"2" AND start_time < "2027-01-01T00:00:00Z"'
    assert database.read(EVENTS.listing(chosen, "name", ("id",)).count.total) == Total(rows=2, estimated=False)


def test_a_list_has_its_total_only_if_it_is_asked_for(database: Database) -> None:
    lists = Lists(database, USERS, PageTokens(lambda: database.read(secrets.page_token_key)))
    for number in range(3):
        database.write(partial(USERS.create, message=new_user(number)))

    def page(**options: object) -> ListUsersResponse:
        request = ListUsersRequest(page_size=2, **options)  # type: ignore[arg-type]
        return lists.page(request, ListUsersResponse, cast("grpc.ServicerContext", Waiting()))

    assert not page().HasField("total_size")
    first = page(return_total_size=True)
    assert (first.HasField("total_size"), first.total_size, first.total_size_estimated) == (True, 3, False)
    assert page(return_total_size=True, page_token=first.next_page_token).total_size == 3
    none = page(return_total_size=True, filter="email = nobody")
    assert (none.HasField("total_size"), none.total_size) == (True, 0)


def test_the_statements_of_a_snapshot_see_the_same_rows(database: Database) -> None:
    """So the rows of a page and its total are those of one moment, and the connection is free again afterwards."""

    def read(session: Session) -> tuple[list[int], list[int]]:
        count = USERS.listing("", "", None).count
        with ThreadPoolExecutor(1) as writer, snapshot(session):
            seen = [count.total(session).rows]
            writer.submit(database.write, partial(USERS.create, message=new_user(1))).result()
            seen.append(count.total(session).rows)
        return seen, [count.total(session).rows]

    assert database.read(read) == ([0, 0], [1])
    with pytest.raises(ZeroDivisionError):
        database.read(fail_in_snapshot)
    assert database.read(read_in_snapshot) == 1


def fail_in_snapshot(session: Session) -> None:
    with snapshot(session):
        raise ZeroDivisionError


def read_in_snapshot(session: Session) -> int:
    with snapshot(session):
        return USERS.listing("", "", None).count.total(session).rows
