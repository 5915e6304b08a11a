"""The client at a server with TLS, client certificates and tokens."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from artemis_client import ArtemisClient, PermissionDenied, Unauthenticated, tls
from artemis_server.access import tokens

from tests.certificates import Authority
from tests.e2e.samples import START, event
from tests.e2e.servers import Server, serving


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """A server that asks for certificates and tokens, and what callers have."""

    server: Server
    folder: Path
    reader: str
    writer: str

    def client(self, token: object) -> ArtemisClient:
        """Returns a client with a certificate, and with a token or a function that returns one."""
        credentials = tls(self.folder / "ca.pem", self.folder / "client.crt", self.folder / "client.key")
        return ArtemisClient(self.server.target, credentials=credentials, token=token)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    authority.client().write(folder, "client")
    cert, key = authority.server().write(folder, "server")
    reader, writer = tokens.new_token(), tokens.new_token()
    entries = [
        tokens.entry_text(each, role, role, START, None) for each, role in ((reader, "reader"), (writer, "writer"))
    ]
    (folder / "tokens.toml").write_text("".join(entries), encoding="utf-8")
    (folder / "tokens.toml").chmod(0o600)
    flags = {
        "--tls-cert": cert,
        "--tls-key": key,
        "--tls-client-ca": folder / "ca.pem",
        "--auth": "tokens",
        "--auth-tokens-file": folder / "tokens.toml",
    }
    with serving(folder / "artemis.db", *(str(each) for pair in flags.items() for each in pair)) as server:
        yield Guarded(server=server, folder=folder, reader=reader, writer=writer)


def test_a_writer_writes_and_a_reader_reads(guarded: Guarded) -> None:
    with guarded.client(guarded.writer) as writer, guarded.client(lambda: guarded.reader) as reader:
        stored = writer.events.create(event())
        assert stored == reader.events.get(stored.id)


def test_a_reader_that_writes_learns_which_role_it_needs(guarded: Guarded) -> None:
    with guarded.client(guarded.reader) as client, pytest.raises(PermissionDenied) as refused:
        client.events.create(event())

    error = refused.value
    assert (error.reason, error.metadata["role"]) == ("ROLE_REQUIRED", "writer")
    assert error.message == "the method needs the role writer"
    assert error.request_id


@pytest.mark.parametrize("token", [None, "unknown"])
def test_a_caller_that_the_server_does_not_know_is_refused(guarded: Guarded, token: str | None) -> None:
    with guarded.client(token) as client, pytest.raises(Unauthenticated) as refused:
        client.events.get(1)

    assert refused.value.reason == ("CREDENTIALS_REQUIRED" if token is None else "CREDENTIALS_INVALID")
    assert refused.value.request_id


def test_a_token_that_was_just_revoked_fails_no_call_if_there_is_another(guarded: Guarded) -> None:
    given = iter([tokens.new_token(), guarded.writer])
    with guarded.client(lambda: next(given)) as client:
        assert client.events.create(event()).id
