"""The principal of a caller is in the session that does the caller's work, on both engines."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Barrier

import pytest
from artemis.v1.access_pb2 import ROLE_WRITER
from artemis_server.access.principal import Principal
from artemis_server.db.connection.database import Database
from artemis_server.db.events import EventStore
from artemis_server.db.statements import PRINCIPAL
from artemis_server.errors import NotFound
from sqlalchemy.orm import Session

from tests.storage.conftest import PATIENCE
from tests.storage.samples import new_event

STORE = EventStore()


@dataclass
class Known:
    """A caller whose principal is known, as the context of a call is."""

    principal: Principal | None

    def time_remaining(self) -> float | None:
        return PATIENCE

    def is_active(self) -> bool:
        return True


def caller(name: str) -> Known:
    return Known(Principal(name=name, role=ROLE_WRITER))


def name_of(session: Session) -> str | None:
    principal = session.info[PRINCIPAL]
    return None if principal is None else principal.name


def test_each_of_many_writers_has_its_own_principal(database: Database) -> None:
    """They write at the same time, in groups, and some of them fail, so that the others run twice."""
    count = 24
    together = Barrier(count)

    def write(number: int) -> tuple[str | None, str]:
        def work(session: Session) -> tuple[str | None, str]:
            before = name_of(session)
            if number % 3 == 0:
                STORE.create(session, new_event())
                STORE.get(session, 2**62)
            made = STORE.create(session, new_event(name=f"Made by {before}"))
            assert name_of(session) == before
            return before, made.name

        together.wait(PATIENCE)
        return database.write(work, caller(f"writer-{number}"))

    with ThreadPoolExecutor(count) as pool:
        ends = [pool.submit(write, number) for number in range(count)]
    for number, end in enumerate(ends):
        if number % 3 == 0:
            assert isinstance(end.exception(), NotFound)
        else:
            assert end.result() == (f"writer-{number}", f"Made by writer-{number}")


@pytest.mark.parametrize("method", ["read", "write", "write_statement", "dry_run"])
def test_a_session_forgets_the_principal_of_its_last_caller(database: Database, method: str) -> None:
    run = getattr(database, method)
    assert [run(name_of, caller("first")), run(name_of, caller("second")), run(name_of), run(name_of, Known(None))] == [
        "first",
        "second",
        None,
        None,
    ]


def test_work_that_is_submitted_to_the_writer_has_its_principal(database: Database) -> None:
    """As calls of one resource are on SQLite; on PostgreSQL each call has a thread."""
    submit = database.submitter()
    if submit is None:
        return
    found: SimpleQueue[str | None] = SimpleQueue()
    for number in range(10):
        who = caller(f"writer-{number}")
        submit(partial(database.write, name_of, who), who, found.put, lambda error: found.put(str(error)))
    assert [f"writer-{number}" for number in range(10)] == [found.get(timeout=PATIENCE) for _ in range(10)]
