"""The client's certificates and tokens, at a real server that asks for them."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import artemis_client
import grpc
import pytest
from artemis_client import ArtemisClient, DeadlineExceeded, Event, Unauthenticated, Unavailable, tls
from artemis_client.credentials import is_local
from cryptography.hazmat.primitives import serialization

from tests.certificates import Authority
from tests.e2e.guard import Guard, guarding
from tests.e2e.servers import PATIENCE
from tests.e2e.test_floor import CLIENT

pytestmark = pytest.mark.usefixtures("each_client")
ONCE = artemis_client.Retry(max_attempts=1)  # a later attempt may end by the deadline
REMOTE = "events.example.com:443"
FLOOR_PROGRAM = """
import sys
from artemis_client import ArtemisClient, Unauthenticated, tls

target, ca, cert, key = sys.argv[1:]
tokens = iter(["stale", "fresh", "wrong", "wrong"])
with ArtemisClient(target, credentials=tls(ca, cert, key), token=lambda: next(tokens)) as client:
    client.events.get(1)
    try:
        client.events.get(1)
    except Unauthenticated as error:
        print(error, error.request_id)
"""


@pytest.fixture
def guard() -> Iterator[Guard]:
    with guarding("fresh") as guard:
        yield guard


@dataclass(frozen=True, kw_only=True)
class Files:
    """The certificate of an authority, and a client's certificate and key."""

    ca: Path
    cert: Path
    key: Path


def files_of(authority: Authority, folder: Path) -> Files:
    ca = folder / "ca.pem"
    ca.write_bytes(authority.pem)
    cert, key = authority.client().write(folder, "client")
    return Files(ca=ca, cert=cert, key=key)


AUTHORITY = Authority()
SERVER = AUTHORITY.server()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return files_of(AUTHORITY, tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Those of another authority."""
    return files_of(Authority("Other authority"), tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def encrypted() -> Iterator[Guard]:
    with guarding("fresh", credentials=grpc.ssl_server_credentials([(SERVER.key, SERVER.cert)])) as guard:
        yield guard


@pytest.fixture(scope="module")
def mutual() -> Iterator[Guard]:
    """A guard that also asks for the client's certificate."""
    pairs = [(SERVER.key, SERVER.cert)]
    credentials = grpc.ssl_server_credentials(pairs, AUTHORITY.pem, require_client_auth=True)
    with guarding("fresh", credentials=credentials) as guard:
        yield guard


def providing(*tokens: Any) -> Callable[[], Any]:
    """Returns a provider of these, one after the other; exceptions among them are raised."""
    left = iter(tokens)

    def provide() -> Any:
        token = next(left)
        if isinstance(token, Exception):
            raise token
        return token

    return provide


def test_every_call_has_the_token(guard: Guard) -> None:
    with ArtemisClient(guard.target, token="fresh") as client:
        client.events.get(1)
        assert list(client.events.list()) == []
        client.events.create(Event())
        client.users.get(1)

    assert guard.seen == ["fresh"] * 4


def test_a_client_without_a_token_sends_none(guard: Guard) -> None:
    with ArtemisClient(guard.target) as client, pytest.raises(Unauthenticated):
        client.events.get(1)

    assert "authorization" not in guard.calls[0].metadata


def test_a_token_goes_over_tls(encrypted: Guard, own: Files) -> None:
    with ArtemisClient(encrypted.target, credentials=tls(own.ca), token="fresh") as client:
        client.events.get(1)


def test_a_client_shows_its_certificate(mutual: Guard, own: Files) -> None:
    with ArtemisClient(mutual.target, credentials=tls(own.ca, own.cert, own.key), token="fresh") as client:
        client.events.get(1)


def test_the_server_of_another_authority_is_not_trusted(encrypted: Guard, other: Files) -> None:
    with (
        ArtemisClient(encrypted.target, credentials=tls(other.ca), token="fresh", timeout=1) as client,
        pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.events.get(1)


@pytest.mark.parametrize("which", ["none", "another authority's"])
def test_a_client_without_a_valid_certificate_is_not_let_in(
    mutual: Guard, own: Files, other: Files, which: str
) -> None:
    credentials = tls(own.ca) if which == "none" else tls(own.ca, other.cert, other.key)
    before = len(mutual.calls)
    with (
        ArtemisClient(mutual.target, credentials=credentials, token="fresh", timeout=1) as client,
        pytest.raises(Unavailable, match="Socket closed"),
    ):
        client.events.get(1)

    assert len(mutual.calls) == before


# Files


@pytest.mark.parametrize("content", [b"no certificate", b"", SERVER.key], ids=["text", "empty", "key"])
def test_a_file_without_a_certificate_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path} has no certificate in PEM"):
        tls(path)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    for files in ({"ca": missing}, {"cert": missing, "key": missing}):
        with pytest.raises(FileNotFoundError, match=str(missing)):
            tls(**files)


def test_a_key_of_another_certificate_is_refused(own: Files, other: Files) -> None:
    with pytest.raises(ValueError, match=rf"{own.cert} and {other.key} are not a certificate and its"):
        tls(cert=own.cert, key=other.key)


def test_an_encrypted_key_is_refused(own: Files, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(own.key.read_bytes(), None)
    sealed = tmp_path / "sealed.key"
    sealed.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"sesame"),
        )
    )
    with pytest.raises(ValueError, match="unencrypted key"):
        tls(cert=own.cert, key=sealed)


def test_a_certificate_and_its_key_are_given_together(own: Files) -> None:
    for files in ({"cert": own.cert}, {"key": own.key}):
        with pytest.raises(ValueError, match="cert and key belong together"):
            tls(**files)


# Where a token may go


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1:50051",
        "127.8.8.8:1",
        "localhost",
        "LOCALHOST:50051",
        "[::1]:50051",
        "dns:localhost:50051",
        "dns:///127.0.0.1:50051",
        "ipv4:127.0.0.1:1,127.0.0.1:2",
        "ipv6:[::1]:50051",
        "ipv6:%5B::1%5D:50051",
        "unix:/run/artemis.sock",
        "unix-abstract:artemis",
    ],
)
def test_a_token_goes_to_this_machine_unencrypted(target: str) -> None:
    assert is_local(target)
    ArtemisClient(target, token="fresh").close()


@pytest.mark.parametrize(
    "target",
    [
        REMOTE,
        "10.0.0.1:50051",
        "0.0.0.0:50051",
        "128.0.0.1:1",
        "127.0.0.1.example.com:1",
        "localhost.example.com:1",
        "example.com/localhost:1",
        "dns://192.0.2.1/localhost:50051",
        "dns:///example.com:50051",
        "ipv4:127.0.0.1:1,10.0.0.1:2",
        "ipv4:10.0.0.1:2,127.0.0.1:1",
        "localhost:1\n",
        "localhost:1@example.com:1",
        "127.0.0.\u0661:1",
        "xds:///localhost:1",
    ],
)
def test_a_token_goes_to_no_other_machine_unencrypted(target: str) -> None:
    with pytest.raises(ValueError, match="refusing to send a token"):
        ArtemisClient(target, token="fresh")


def test_a_token_goes_unencrypted_where_the_caller_says_so(guard: Guard) -> None:
    anywhere = guard.target.replace("127.0.0.1", "0.0.0.0")  # noqa: S104, nothing is bound
    with ArtemisClient(anywhere, token="fresh", insecure=True) as client:
        client.events.get(1)

    assert guard.seen == ["fresh"]


def test_a_token_goes_anywhere_over_tls() -> None:
    ArtemisClient(REMOTE, credentials=tls(), token="fresh").close()


def test_a_token_does_not_pass_a_proxy_to_this_machine(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second client shows that the proxy would be asked."""
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("grpc_proxy", "http://127.0.0.1:1")
    with ArtemisClient(guard.target, token="fresh") as client:
        client.events.get(1)
    with ArtemisClient(guard.target, retry=ONCE) as client, pytest.raises(Unavailable, match=r"127\.0\.0\.1:1\b"):
        client.events.get(1)


@pytest.mark.parametrize("token", ["", " ", "fresh\n", "two words", "caf\u00e9", "a\0"])
def test_a_string_that_is_no_token_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ValueError, match="a token has one or more visible ASCII characters") as refused:
        ArtemisClient("127.0.0.1:1", token=token)

    assert not token.strip() or token.strip() not in str(refused.value)


def test_a_token_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="a string or a function that returns one, not bytes"):
        ArtemisClient("127.0.0.1:1", token=b"fresh")  # type: ignore[arg-type]  # as a caller without types may


# Providers


def test_a_provider_is_asked_for_each_call(guard: Guard) -> None:
    guard.tokens |= {"first", "second"}
    with ArtemisClient(guard.target, token=providing("first", "second")) as client:
        client.events.get(1)
        client.events.get(1)

    assert guard.seen == ["first", "second"]


def test_a_token_that_was_just_rotated_fails_no_call(guard: Guard) -> None:
    with ArtemisClient(guard.target, token=providing("stale", "fresh")) as client:
        client.events.create(Event(name="a"))

    assert guard.seen == ["stale", "fresh"]
    first, second = guard.calls
    assert first.request == second.request, "a write that is repeated must have the same request_id"


def test_a_refused_token_is_sent_once_if_there_is_no_other(guard: Guard) -> None:
    with ArtemisClient(guard.target, token="stale") as client, pytest.raises(Unauthenticated) as refused:
        client.events.get(1)

    assert guard.seen == ["stale"]
    assert (refused.value.message, refused.value.request_id) == ("the token is not known", "call-1")


def test_a_second_token_that_is_refused_is_the_last(guard: Guard) -> None:
    tokens = providing("stale", "wrong", "fresh")
    with ArtemisClient(guard.target, token=tokens) as client, pytest.raises(Unauthenticated) as refused:
        client.events.get(1)

    assert guard.seen == ["stale", "wrong"]
    assert refused.value.request_id == "call-2"


def test_a_call_with_a_token_is_tried_again_when_it_is_unavailable(guard: Guard) -> None:
    guard.unavailable = 1
    with ArtemisClient(guard.target, token=providing("fresh")) as client:
        client.events.get(1)

    assert guard.seen == ["fresh", "fresh"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (OSError("the vault is closed"), "the token provider failed: OSError: the vault is closed"),
        (Unavailable(grpc.StatusCode.UNAVAILABLE, "x"), "the token provider failed: Unavailable: UNAVAILABLE: x"),
        (None, "the token provider failed: TypeError: a token is a string, not NoneType"),
        (b"fresh", "the token provider failed: TypeError: a token is a string, not bytes"),
        (
            "fresh\n",
            "the token provider failed: ValueError: "
            "a token has one or more visible ASCII characters, and no space or end of line",
        ),
    ],
)
def test_a_provider_that_fails_is_one_clear_error(guard: Guard, given: object, message: str) -> None:
    """It is not asked again, and nothing is sent."""
    with (
        ArtemisClient(guard.target, token=providing(given, "fresh")) as client,
        pytest.raises(Unauthenticated) as refused,
    ):
        client.events.get(1)

    assert refused.value.message == message
    assert refused.value.__cause__ is given or not isinstance(given, Exception)
    assert guard.calls == []


@pytest.mark.parametrize("each_client", ["threads"], indirect=True)  # test_client_asyncio has it for coroutines
def test_a_provider_that_waits_holds_up_its_own_call_alone(guard: Guard) -> None:
    waiting, go_on = threading.Event(), threading.Event()

    def provide() -> str:
        if threading.current_thread().name.startswith("slow"):
            waiting.set()
            assert go_on.wait(PATIENCE)
        return "fresh"

    with (
        ArtemisClient(guard.target, token=provide) as client,
        ThreadPoolExecutor(1, thread_name_prefix="slow") as pool,
    ):
        slow = pool.submit(client.events.get, 1)
        assert waiting.wait(PATIENCE)
        client.events.get(2)
        assert not slow.done()
        go_on.set()
        slow.result(PATIENCE)


def test_the_deadline_counts_the_time_of_the_provider(guard: Guard) -> None:
    """Also when it is asked for a second token."""
    tokens = providing("fresh", "fresh", "stale", "fresh")

    def provide() -> str:
        end = time.monotonic() + 0.1
        while time.monotonic() < end:
            pass
        return str(tokens())

    with ArtemisClient(guard.target, token=provide) as client:
        with pytest.raises(DeadlineExceeded):
            client.events.get(1, timeout=0.05)
        client.events.get(1, timeout=2)
        client.events.get(1, timeout=2)

    first, second, third = (call.seconds for call in guard.calls[-3:])
    assert max(first, second) < 1.95  # gRPC rounds up
    assert third < 1.85


# Versions


@pytest.mark.acceptance
@pytest.mark.parametrize("each_client", ["threads"], indirect=True)
def test_credentials_work_on_the_oldest_dependencies(mutual: Guard, own: Files) -> None:
    arguments = [mutual.target, *map(str, (own.ca, own.cert, own.key))]
    before = len(mutual.calls)
    done = subprocess.run(
        [CLIENT, "-c", FLOOR_PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert mutual.seen[before:] == ["stale", "fresh", "wrong"]
    assert done.stdout == f"UNAUTHENTICATED: the token is not known call-{len(mutual.calls)}\n"
