"""What the engine does without gRPC: the same statements, driven straight from the driver by one thread."""

import json
import os
import sys
import time
from collections.abc import Callable

from artemis_models import create_engine
from artemis_server.db.events import EventStore
from artemis_server.db.statements import driver_connection
from sqlalchemy.orm import Session

from tests.benchmarks import load, samples

GROUP = 64


def rate(work: Callable[[], int], seconds: float) -> float:
    """Returns how many items the work does a second; each call returns how many it did, 0 when there are no more."""
    done, begin = 0, time.perf_counter()
    while (now := time.perf_counter()) - begin < seconds and (more := work()):
        done += more
    return done / (now - begin)


class Direct:
    """The work of each method on a session whose connection is in autocommit; each returns how many calls it was."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._driver = driver_connection(session)
        self._driver.execute("ROLLBACK")
        self._store = EventStore()
        self._created: list[int] = []

    def get(self) -> int:
        """Reads a row."""
        self._store.get(self._session, 1)
        return 1

    def create(self) -> int:
        """Stores rows, a group in a transaction, as the server does."""
        return self._group(self._create)

    def update(self) -> int:
        """Updates a row, a group of times in a transaction."""
        return self._group(self._update)

    def delete(self) -> int:
        """Deletes rows that `create` stored, a group in a transaction; none when there are no more."""
        return self._group(self._delete) if len(self._created) >= GROUP else 0

    def list(self) -> int:
        """Reads the rows of a page."""
        query = self._store.query("", "")
        return sum(1 for _ in query.scan(self._session, after=None, limit=samples.PAGE_SIZE + 1)) and 1

    def create_batch(self) -> int:
        """Stores the rows of a batch."""
        self._in_transaction(self._create_many)
        return 1

    def _group(self, work: Callable[[], object]) -> int:
        self._in_transaction(lambda: [work() for _ in range(GROUP)])
        return GROUP

    def _in_transaction(self, work: Callable[[], object]) -> None:
        self._driver.execute("BEGIN")
        work()
        self._driver.execute("COMMIT")

    def _create(self) -> None:
        self._created.append(self._store.create(self._session, samples.NEW_EVENT).id)

    def _update(self) -> None:
        self._store.update(self._session, 2, samples.UPDATE.event, ["location"], "")

    def _delete(self) -> None:
        self._store.delete(self._session, self._created.pop(), "")

    def _create_many(self) -> None:
        self._store.create_many(self._session, [samples.NEW_EVENT] * samples.BATCH_SIZE, str)


def main(url: str, seconds: float) -> None:
    """Prints the rates as JSON."""
    os.sched_setaffinity(0, {load.SERVER_CORE})
    with Session(create_engine(url)) as session, session.begin():
        direct = Direct(session)
        work = {
            "GetEvent": direct.get,
            "CreateEvent": direct.create,
            "UpdateEvent": direct.update,
            "DeleteEvent": direct.delete,
            "ListEvents": direct.list,
            "BatchCreateEvents": direct.create_batch,
        }
        print(json.dumps({name: rate(each, seconds) for name, each in work.items()}))
        driver_connection(session).execute("BEGIN")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
