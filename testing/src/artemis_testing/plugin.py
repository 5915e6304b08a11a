"""The fixtures, for pytest. It imports nothing of gRPC or of Artemis until a test asks for a server."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from artemis_testing.pool import Pool
    from artemis_testing.server import ArtemisServer

TARGET = "ARTEMIS_TARGET"
"""The variable by which a client finds the server of the fixture `artemis`."""
OTHERS = ("TLS", "CA", "CERT", "KEY", "TOKEN", "TOKEN_FILE")
"""The other variables of clients, without ARTEMIS_, which are unset: they are about another server."""
_USED: "pytest.StashKey[list[ArtemisServer]]" = pytest.StashKey()
"""The servers that a test has."""


@pytest.fixture(scope="session")
def _artemis_pool(request: pytest.FixtureRequest) -> "Iterator[Pool]":
    from artemis_testing.pool import Pool  # noqa: PLC0415, it takes a second that most runs of pytest do not need

    pool = Pool(_cache(request.config))
    yield pool
    pool.close()


@pytest.fixture
def artemis_factory(
    _artemis_pool: "Pool", request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> "Iterator[Callable[..., ArtemisServer]]":
    """Returns another server at each call, each with a database, a clock and faults of its own.

    With `artemis_factory(access=True)` the callers of the server need a token, which `ArtemisServer.token` gives.
    """
    used: list[ArtemisServer] = request.node.stash.setdefault(_USED, [])
    # gRPC asks the proxy that `http_proxy` names for addresses of this machine as well.
    direct = os.environ.get("no_grpc_proxy") or os.environ.get("no_proxy") or ""  # noqa: SIM112, gRPC's names
    monkeypatch.setenv("no_grpc_proxy", f"{direct},127.0.0.1".lstrip(","))
    for name in OTHERS:
        monkeypatch.delenv(f"ARTEMIS_{name}", raising=False)
    with ExitStack() as lent:

        def make(*, access: bool = False) -> "ArtemisServer":
            used.append(lent.enter_context(_artemis_pool.lend(access=access)))
            return used[-1]

        yield make


@pytest.fixture
def artemis(artemis_factory: "Callable[..., ArtemisServer]", monkeypatch: pytest.MonkeyPatch) -> "ArtemisServer":
    """A real Artemis server with an empty database. ARTEMIS_TARGET is its address during the test."""
    server = artemis_factory()
    monkeypatch.setenv(TARGET, server.target)
    return server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Adds the log of the servers to the report of the test, which pytest shows if the test fails."""
    try:
        return (yield)
    finally:
        for server in item.stash.get(_USED, []):
            if log := server.log:
                item.add_report_section("call", "artemis", log)


def _cache(config: pytest.Config) -> Path | None:
    """Returns a folder of pytest's cache, which keeps the migrated database; None without one that can be written."""
    if getattr(config, "cache", None) is None:
        return None
    try:
        folder: Path = config.cache.mkdir("artemis")
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None
