"""A client in a process that was forked works or raises one clear error, and never hangs."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.guard import Guard, guarding
from tests.e2e.servers import PATIENCE

PROGRAM = """
import asyncio, os, signal, sys
from artemis_client import ArtemisClient, AsyncArtemisClient, EventMirror

def old():
    client.events.get(1)

def new():
    with ArtemisClient(target) as fresh:
        fresh.events.get(1)

def new_asyncio():
    async def call():
        async with AsyncArtemisClient(target) as fresh:
            await fresh.events.get(1)
    asyncio.run(call())

def watch():
    next(changes)

def mirrored():
    mirror.wait_until_synced()

def closed():
    for each in (mirror, changes, client):
        each.close()

def in_child(do):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        try:
            do()
            print(do.__name__, "works")
        except Exception as error:
            print(do.__name__, type(error).__name__, str(error).partition(":")[0])
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, do.__name__

target, when = sys.argv[1:]
if when == "before":
    in_child(new)
client = ArtemisClient(target)
client.events.get(1)
if when == "after":
    changes, mirror = client.events.watch("t0"), EventMirror(client)
    for do in (old, watch, mirrored, closed):
        in_child(do)
for do in (new, new_asyncio):
    in_child(do)
client.events.get(1)
client.close()
"""
OURS = "RuntimeError this client was made before a fork; make one in each process"
HANGS = "RuntimeError gRPC was used before this process was forked, and would hang"


def run(guard: Guard, when: str, **variables: str) -> list[str]:
    """Returns what the program printed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, guard.target, when],
        env=os.environ | {"GRPC_VERBOSITY": "NONE"} | variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def guard() -> Iterator[Guard]:
    with guarding("") as guard:
        yield guard


def test_a_client_that_was_made_before_a_fork_and_a_new_one_say_so(guard: Guard) -> None:
    assert run(guard, "after") == [
        f"old {OURS}",
        f"watch {OURS}",
        f"mirrored {OURS}",
        "closed works",
        f"new {HANGS}",
        f"new_asyncio {HANGS}",
    ]


def test_a_client_works_that_is_the_first_after_a_fork(guard: Guard) -> None:
    assert run(guard, "before")[0] == "new works"


@pytest.mark.acceptance
def test_new_clients_work_after_a_fork_that_grpc_supports(guard: Guard) -> None:
    assert run(guard, "use", GRPC_ENABLE_FORK_SUPPORT="1") == ["new works", "new_asyncio works"]
