"""What the engine does without gRPC: the same statements, driven straight from the driver by one thread."""

import json
import os
import sys
import time
from collections.abc import Callable

from artemis_models import create_engine
from artemis_server.db.events import EventStore
from artemis_server.db.statements import keep_driver
from sqlalchemy.orm import Session

from tests.benchmarks import load, samples

GROUP = 64


def rate(work: Callable[[], int], seconds: float) -> float:
    """Returns how many items the work does a second; each call returns how many it did."""
    done, begin = 0, time.perf_counter()
    while (now := time.perf_counter()) - begin < seconds:
        done += work()
    return done / (now - begin)


def main(url: str, seconds: float) -> None:
    """Prints the rates as JSON."""
    os.sched_setaffinity(0, {load.SERVER_CORE})
    engine = create_engine(url)
    store = EventStore()
    with Session(engine) as session, session.begin():
        driver = keep_driver(session)
        driver.execute("ROLLBACK")

        def create() -> int:
            driver.execute("BEGIN")
            for _ in range(GROUP):
                store.create(session, samples.NEW_EVENT)
            driver.execute("COMMIT")
            return GROUP

        def get() -> int:
            store.get(session, 1)
            return 1

        def list_page() -> int:
            query = store.query("", "")
            return sum(1 for _ in query.scan(session, after=None, limit=samples.PAGE_SIZE + 1)) and 1

        figures = {"CreateEvent": create, "GetEvent": get, "ListEvents": list_page}
        print(json.dumps({name: rate(work, seconds) for name, work in figures.items()}))
        driver.execute("BEGIN")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
