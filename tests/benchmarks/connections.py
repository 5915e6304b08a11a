"""Prints what PgBouncer costs, and what the number of connections to PostgreSQL changes.

`python -m tests.benchmarks.connections`. Servers take turns on one core, under a load on another: one with the
defaults, one through PgBouncer, and one for each number of --threads. Each ratio to the first is made within a round.
"""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import grpc
from artemis.v1 import events_pb2_grpc
from sqlalchemy import make_url

from tests.benchmarks.__main__ import serving
from tests.benchmarks.deployment import deployed
from tests.benchmarks.load import Rate, Target
from tests.benchmarks.methods import Service, store_events
from tests.benchmarks.operated import PLAIN, rate, shown
from tests.e2e.poolers import PROGRAM, pooling

TITLES = ("Get, random ids", "Create", "List, another page")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2, help="of load for each figure in each round")
    parser.add_argument("--only", default="", help="figures whose title contains this")
    parser.add_argument("--threads", nargs="*", default=["8", "16", "32", "64"])
    options = parser.parse_args()
    titles = [title for title in TITLES if options.only in title]
    with servers(options.threads) as (targets, service):
        found: dict[str, list[dict[str, Rate]]] = {title: [] for title in titles}
        for number in range(options.rounds):
            for title in titles:
                names = list(targets) if number % 2 else list(reversed(targets))
                found[title].append({name: rate(targets[name], service, title, options) for name in names})
    for title, rounds in found.items():
        for other in list(targets)[1:]:
            calls = shown(each[other].calls / each["default"].calls for each in rounds)
            processor = shown(each[other].processor / each["default"].processor for each in rounds)
            print(f"{title}, {other} / default: calls {calls}, processor time {processor}")


@contextmanager
def servers(threads: list[str]) -> Iterator[tuple[dict[str, Target], Service]]:
    """Runs the servers on one database, and fills it."""
    with ExitStack() as stack:
        url = stack.enter_context(deployed()).get_uri()
        targets = {"default": stack.enter_context(serving(url, flags=PLAIN))}
        if PROGRAM is None:
            print("pgbouncer is not installed: its cost is left out")
        else:
            pooled = stack.enter_context(pooling(make_url(url)))
            targets["pgbouncer"] = stack.enter_context(serving(pooled, flags=PLAIN))
        for number in threads:
            flags = (*PLAIN, "--threads", number)
            targets[f"{number} threads"] = stack.enter_context(serving(url, flags=flags))
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{targets['default'].port}"))
        stub = events_pb2_grpc.EventServiceStub(channel)
        yield targets, Service(stub, store_events(stub))


if __name__ == "__main__":
    main()
