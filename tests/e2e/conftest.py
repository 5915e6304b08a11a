"""Fixtures: a real server in a process of its own, and the real client that calls it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from artemis_client import ArtemisClient

from tests.e2e import blocking
from tests.e2e.servers import PATIENCE, Server, serving

Serve = Callable[..., Server]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that tests share: what they look at are rows that they made."""
    with serving(tmp_path_factory.mktemp("shared") / "artemis.db") as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[ArtemisClient]:
    """A client of the module's server: the shared one, or the module's own."""
    with ArtemisClient(server.target, timeout=PATIENCE) as client:
        yield client


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    """A bare connection to the same server, for what the client does not let through."""
    with grpc.insecure_channel(server.target) as channel:
        yield channel


@pytest.fixture
def database_path(tmp_path: Path) -> Path:
    """A path at which a database may be made."""
    return tmp_path / "artemis.db"


@pytest.fixture
def serve(database_path: Path) -> Iterator[Serve]:
    """Starts servers on one database, with flags, and ends them after the test."""
    with ExitStack() as running:
        yield lambda *flags, **options: running.enter_context(serving(database_path, *flags, **options))


@pytest.fixture(params=["threads", pytest.param("asyncio", marks=pytest.mark.acceptance)])
def each_client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a test with both clients: what its module has of one is replaced by the other one in the same shape.

    `make test` has the one without asyncio, which is generated from the other, and tests of asyncio alone.
    """
    if request.param == "asyncio":
        for name, face in (("ArtemisClient", blocking.client), ("EventMirror", blocking.mirror)):
            monkeypatch.setattr(request.module, name, face, raising=False)
