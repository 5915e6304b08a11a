"""Watches whose callers lose access, on a real server with limits that pass fast."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest
from artemis.v1 import events_pb2_grpc
from artemis.v1.events_pb2 import CreateEventRequest, WatchEventsRequest
from artemis_models import create_engine
from artemis_models.flags import OFF
from artemis_server import app
from artemis_server.access.tokens import new_token
from artemis_server.app import Application
from artemis_server.settings import Settings
from artemis_server.telemetry.worker import Telemetry
from artemis_server.watch.hub import Limits

from tests.certificates import Authority
from tests.e2e.samples import event_message
from tests.e2e.servers import PATIENCE
from tests.e2e.test_access import bearer, write_tokens
from tests.e2e.test_telemetry import until

KEPT, REVOKED, OTHER = new_token(), new_token(), new_token()


class Counting(Telemetry):
    """Telemetry that keeps what ended watches."""

    ended: Counter[str]

    def watch_ended(self, reason: str) -> None:
        self.ended[reason] += 1


@pytest.fixture
def ended() -> Counter[str]:
    """The watches that have ended, by what ended them."""
    return Counter()


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """The file of the server's tokens."""
    return tmp_path / "tokens.toml"


@pytest.fixture
def channel(
    sqlite_url: str, tokens: Path, tmp_path: Path, ended: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[grpc.Channel]:
    """A connection to a server in this process, which looks at access 20 times a second."""
    monkeypatch.setattr(app, "watches_of", partial(app.watches_of, limits=Limits(tick=0.01, checkpoint=0.05)))
    authority = Authority()
    cert, key = authority.server().write(tmp_path, "server")
    write_tokens(tokens, (KEPT, "writer"), (REVOKED, "reader"))
    settings = Settings(
        command="serve",
        database_url=sqlite_url,
        listen="127.0.0.1:0",
        metrics_listen=OFF,
        tls_cert=cert,
        tls_key=key,
        auth=("tokens",),
        auth_tokens_file=tokens,
    )
    telemetry = Counting(settings)
    telemetry.ended = ended
    application = Application(settings, create_engine(sqlite_url, connections=40), telemetry=telemetry)
    port = application.start()
    with grpc.secure_channel(f"127.0.0.1:{port}", authority.credentials(None)) as channel:
        yield channel
    application.stop(PATIENCE)
    application.server.stop(0).wait()


def test_a_watch_ends_when_its_token_is_revoked_and_the_others_go_on(
    channel: grpc.Channel, tokens: Path, ended: Counter[str]
) -> None:
    stub = events_pb2_grpc.EventServiceStub(channel)
    going_on, ending = (
        stub.WatchEvents(WatchEventsRequest(), metadata=(bearer(each),), timeout=PATIENCE, wait_for_ready=True)
        for each in (KEPT, REVOKED)
    )
    next(going_on)
    next(ending)
    write_tokens(tokens, (KEPT, "writer"), (OTHER, "reader"))
    with pytest.raises(grpc.RpcError):
        for _ in ending:
            pass
    assert ending.code() is grpc.StatusCode.UNAUTHENTICATED
    made = stub.CreateEvent(CreateEventRequest(event=event_message()), metadata=(bearer(KEPT),))
    assert made.id in (change.event.id for response in going_on for change in response.changes)
    until(lambda: dict(ended) == {"access": 1})  # a copy, because the server changes it meanwhile
    going_on.cancel()
    until(lambda: dict(ended) == {"access": 1, "client": 1})
