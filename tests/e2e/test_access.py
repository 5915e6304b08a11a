"""Access control: attacks are refused with the right status, the server goes on, and its log has nothing secret."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from artemis.v1.events_pb2 import (
    BatchCreateEventsRequest,
    CreateEventRequest,
    DeleteEventRequest,
    Event,
    GetEventRequest,
    ListEventsRequest,
)
from artemis_server.access.tokens import entry_text, new_token
from artemis_server.supervisor import SUPPORTED
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status

from tests.certificates import DAY, Authority
from tests.e2e.rotation import Callers, Rotation
from tests.e2e.samples import START, event_message
from tests.e2e.servers import PATIENCE, Server, serving
from tests.e2e.test_telemetry import METRICS, count, read, samples
from tests.e2e.wire import EVENTS, METHODS
from tests.issuer import AUDIENCE, ISSUER, Issuer

Code = grpc.StatusCode
HEALTH = "/grpc.health.v1.Health/Check"
SECRETS = re.compile(r"artemis_[\w-]{20}|eyJ[\w-]{10}|PRIVATE KEY|Conference on embedded|Bearer")
"""Texts that no log may have: tokens, keys, and the fields of an event."""
GET = GetEventRequest(id=1)
CREATE = CreateEventRequest(event=event_message())


def write_tokens(path: Path, *tokens: tuple[str, str]) -> None:
    """Writes a file of tokens, each with its role, which is its name as well."""
    path.write_text("".join(entry_text(token, role, role, START, None) for token, role in tokens))
    path.chmod(0o600)


@dataclass
class Guarded:
    """A server with access control, and what callers and attackers have."""

    server: Server
    authority: Authority
    issuer: Issuer
    strangers: Authority = field(default_factory=Authority)
    reader: str = ""
    writer: str = ""
    expired: str = ""

    def call(self, request: Message | tuple[str, bytes], *metadata: tuple[str, str], **options: Any) -> Any:
        """Calls over TLS, or as `options` tell."""
        method, raw = request if isinstance(request, tuple) else (METHODS[type(request)], request.SerializeToString())
        with closing(self.channel(**options)) as channel:
            return channel.unary_unary(method)(raw, metadata=metadata, timeout=PATIENCE)

    def channel(self, *, plaintext: bool = False, client: Any = None, trusting: Authority | None = None) -> Any:
        if plaintext:
            return grpc.insecure_channel(self.server.target)
        return grpc.secure_channel(self.server.target, (trusting or self.authority).credentials(client))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server with TLS, tokens and JWTs."""
    folder = tmp_path_factory.mktemp("guarded")
    authority, issuer = Authority(), Issuer()
    cert, key = authority.server().write(folder, "server")
    reader, writer, expired = new_token(), new_token(), new_token()
    write_tokens(folder / "tokens.toml", (reader, "reader"), (writer, "writer"))
    with (folder / "tokens.toml").open("a") as file:
        file.write(entry_text(expired, "expired", "writer", START, START))
    (folder / "keys.json").write_bytes(issuer.key_set())
    flags = [
        *("--tls-cert", str(cert), "--tls-key", str(key)),
        *("--auth", "tokens,jwt", "--auth-tokens-file", str(folder / "tokens.toml")),
        *("--auth-jwks-url", str(folder / "keys.json"), "--auth-issuer", ISSUER, "--auth-audience", AUDIENCE),
        *("--log-level", "DEBUG"),
    ]
    with serving(folder / "artemis.db", *flags) as server:
        guarded = Guarded(server, authority, issuer, reader=reader, writer=writer, expired=expired)
        guarded.call(CREATE, bearer(writer))
        yield guarded


def bearer(token: str) -> tuple[str, str]:
    return "authorization", f"Bearer {token}"


def refusal(call: Callable[..., bytes], *arguments: Any, **options: Any) -> tuple[Code, str]:
    """Returns the code and the reason of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    error: Any = caught.value
    status, info = rpc_status.from_call(error), error_details_pb2.ErrorInfo()
    if status is not None:
        assert status.details[0].Unpack(info)
        assert info.domain == "artemis"
    return error.code(), info.reason


REQUIRED = Code.UNAUTHENTICATED, "CREDENTIALS_REQUIRED"
INVALID = Code.UNAUTHENTICATED, "CREDENTIALS_INVALID"
DENIED = Code.PERMISSION_DENIED, "ROLE_REQUIRED"
UNKNOWN_METHOD = Code.UNIMPLEMENTED, ""
NO_CONNECTION = Code.UNAVAILABLE, ""
NOW = int(time.time())

HEADERS: dict[str, tuple[Callable[[Guarded], list[tuple[str, str]]], tuple[Code, str]]] = {
    "no token": (lambda _: [], REQUIRED),
    "wrong token": (lambda _: [bearer(new_token())], INVALID),
    "wrong token, not of ours": (lambda _: [bearer("s3cret")], INVALID),
    "empty token": (lambda _: [bearer("")], INVALID),
    "expired token": (lambda each: [bearer(each.expired)], INVALID),
    "token in the wrong header": (lambda each: [("x-token", each.reader), ("cookie", each.reader)], REQUIRED),
    "token without its scheme": (lambda each: [("authorization", each.reader)], INVALID),
    "token of another scheme": (lambda each: [("authorization", f"Basic {each.reader}")], INVALID),
    "two tokens": (lambda each: [bearer(each.reader), bearer(each.writer)], INVALID),
    "token with a space": (lambda each: [bearer(f"{each.reader} x")], INVALID),
    "JWT of nobody": (lambda each: [bearer(each.issuer.token(sub=None))], INVALID),
    "expired JWT": (lambda each: [bearer(each.issuer.token(exp=NOW - 3600))], INVALID),
    "JWT without an end": (lambda each: [bearer(each.issuer.token(exp=None))], INVALID),
    "future JWT": (lambda each: [bearer(each.issuer.token(nbf=NOW + 3600))], INVALID),
    "JWT made in the future": (lambda each: [bearer(each.issuer.token(iat=NOW + 3600))], INVALID),
    "wrong-issuer JWT": (lambda each: [bearer(each.issuer.token(iss="https://other.test"))], INVALID),
    "JWT without an issuer": (lambda each: [bearer(each.issuer.token(iss=None))], INVALID),
    "wrong-audience JWT": (lambda each: [bearer(each.issuer.token(aud="other"))], INVALID),
    "JWT without an audience": (lambda each: [bearer(each.issuer.token(aud=None))], INVALID),
    "alg none JWT": (lambda each: [bearer(each.issuer.unsigned())], INVALID),
    "HS256-with-the-public-key JWT": (lambda each: [bearer(each.issuer.confused())], INVALID),
    "unknown-kid JWT": (lambda each: [bearer(Issuer("other", each.issuer.key).token())], INVALID),
    "JWT of another key": (lambda _: [bearer(Issuer().token())], INVALID),
    "JWT with a critical extension": (lambda each: [bearer(each.issuer.token(header={"crit": ["x"]}))], INVALID),
    "JWT with an embedded key": (lambda each: [bearer(Issuer().token(header={"jwk": each.issuer.jwk()}))], INVALID),
    "JWT without a role": (lambda each: [bearer(each.issuer.token(role=None))], DENIED),
    "JWT of an unknown role": (lambda each: [bearer(each.issuer.token(role="root"))], DENIED),
    "broken JWT": (lambda each: [bearer(each.issuer.token()[:-4])], INVALID),
}


def assert_serving_and_discreet(guarded: Guarded) -> None:
    """Checks that the server answers, also health checks without credentials, and that its log has no secret."""
    assert Event.FromString(guarded.call(GET, bearer(guarded.reader))).id == 1
    health = (HEALTH, health_pb2.HealthCheckRequest().SerializeToString())
    assert health_pb2.HealthCheckResponse.FromString(guarded.call(health)).status == 1
    assert SECRETS.search(guarded.server.log.text) is None


@pytest.mark.parametrize("name", HEADERS)
def test_credentials_of_attackers_are_refused(guarded: Guarded, name: str) -> None:
    headers, expected = HEADERS[name]
    assert expected == refusal(guarded.call, GET, *headers(guarded))
    assert_serving_and_discreet(guarded)


@pytest.mark.parametrize("request_", [CREATE, DeleteEventRequest(id=1), BatchCreateEventsRequest()])
def test_a_reader_cannot_write(guarded: Guarded, request_: Message) -> None:
    for token in (guarded.reader, guarded.issuer.token(), guarded.issuer.token(role="reader other")):
        assert refusal(guarded.call, request_, bearer(token)) == DENIED
    assert_serving_and_discreet(guarded)


@pytest.mark.parametrize("id_", [1, 2**62, -1])
def test_a_refused_call_learns_nothing_about_what_exists(guarded: Guarded, id_: int) -> None:
    """The answer is the same for a row that is there, one that is not, and a request that nobody can parse."""
    raw = DeleteEventRequest(id=id_).SerializeToString()
    for request in (raw, b"\xff\xff"):
        refused = refusal(guarded.call, (METHODS[DeleteEventRequest], request))
        assert refused == REQUIRED
        denied = refusal(guarded.call, (METHODS[DeleteEventRequest], request), bearer(guarded.reader))
        assert denied == DENIED


PATHS = [
    f"/{EVENTS}/../{EVENTS}/GetEvent",
    f"/{EVENTS}/./GetEvent",
    f"//{EVENTS}/GetEvent",
    f"/{EVENTS}//GetEvent",
    f"/{EVENTS}/GetEvent/",
    f"/{EVENTS}/getEvent",
    f"/{EVENTS.upper()}/GetEvent",
    f"/{EVENTS}/GetEvent%00",
    f"/{EVENTS}%2fGetEvent",
    "/grpc.health.v1.Health/../artemis.v1.EventService/GetEvent",
    "/../../etc/passwd",
    f"/{EVENTS}/Unknown",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_name_that_is_like_that_of_a_method_reaches_none(guarded: Guarded, path: str) -> None:
    """With credentials and without: the answer does not depend on them."""
    raw = GET.SerializeToString()
    assert refusal(guarded.call, (path, raw)) == UNKNOWN_METHOD
    assert refusal(guarded.call, (path, raw), bearer(guarded.writer)) == UNKNOWN_METHOD
    assert_serving_and_discreet(guarded)


def test_plaintext_to_a_tls_port_is_refused(guarded: Guarded) -> None:
    assert refusal(guarded.call, GET, bearer(guarded.reader), plaintext=True) == NO_CONNECTION
    assert_serving_and_discreet(guarded)


def test_a_client_refuses_a_server_of_another_authority(guarded: Guarded) -> None:
    assert refusal(guarded.call, GET, bearer(guarded.reader), trusting=guarded.strangers) == NO_CONNECTION
    assert_serving_and_discreet(guarded)


def test_valid_credentials_may_do_what_their_role_says(guarded: Guarded) -> None:
    """The scheme's name has no case, and a role includes the lesser ones."""
    made = Event.FromString(guarded.call(CREATE, bearer(guarded.issuer.token(role=["other", "writer"]))))
    for header in (
        bearer(guarded.reader),
        ("authorization", f"BEARER {guarded.writer}"),
        bearer(guarded.issuer.token(role="admin")),
    ):
        assert made == Event.FromString(guarded.call(GetEventRequest(id=made.id), header))
    guarded.call(DeleteEventRequest(id=made.id), bearer(guarded.writer))


def test_every_write_is_in_the_log(guarded: Guarded) -> None:
    """Also one that was refused: with who, what and the outcome, and no field of a resource."""
    call_id = ("x-request-id", "audited-1")
    made = Event.FromString(guarded.call(CREATE, bearer(guarded.writer), call_id))
    guarded.server.log.wait_for(
        rf"audit principal=writer credentials=token method={EVENTS}/CreateEvent code=OK "
        rf"request_id=audited-1 ids={made.id} count=1$"
    )
    refusal(guarded.call, CREATE, bearer(guarded.issuer.token(sub="grace")), ("x-request-id", "audited-2"))
    guarded.server.log.wait_for(
        rf"audit principal=grace credentials=jwt method={EVENTS}/CreateEvent code=PERMISSION_DENIED request_id=audited"
    )
    requests = [CreateEventRequest(event=event_message()) for _ in range(60)]
    write = BatchCreateEventsRequest(requests=requests, request_id="8f3c2f5e-98a8-4a62-9a3f-0d8a1c5d4e11")
    guarded.call(write, bearer(guarded.writer), ("x-request-id", "audited-3"))
    found = guarded.server.log.wait_for(
        rf"audit .* code=OK request_id=audited-3 ids=([0-9,]+) count=60 write_request_id={write.request_id}$"
    )
    assert [str(made.id + 1 + number) for number in range(50)] == found[1].split(",")
    with pytest.raises(grpc.RpcError):
        guarded.call(DeleteEventRequest(id=2**62), bearer(guarded.writer), ("x-request-id", "audited-4"))
    guarded.server.log.wait_for(rf"audit .* code=NOT_FOUND request_id=audited-4 ids={2**62} count=1$")
    guarded.call(ListEventsRequest(), bearer(guarded.writer), ("x-request-id", "audited-5"))
    assert "audited-5" not in guarded.server.log.text, "a read is no write"
    assert SECRETS.search(guarded.server.log.text) is None


def test_reflection_needs_no_credentials(guarded: Guarded) -> None:
    """It tells what the .proto files tell, and `--no-reflection` switches it off."""
    with closing(guarded.channel()) as channel:
        ask: Any = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        assert EVENTS.encode() in next(ask(iter([b"\x3a\x00"]), timeout=PATIENCE))


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server that takes client certificates, and tokens over them."""
    folder = tmp_path_factory.mktemp("mutual")
    authority = Authority()
    cert, key = authority.server().write(folder, "server")
    (folder / "ca.crt").write_bytes(authority.pem)
    token = new_token()
    write_tokens(folder / "tokens.toml", (token, "writer"))
    (folder / "identities.toml").write_text(
        '[[identity]]\nname = "spiffe://example.org/billing"\nrole = "writer"\n'
        '[[identity]]\nname = "CN=reports"\nrole = "reader"\n'
    )
    flags = [
        *("--tls-cert", str(cert), "--tls-key", str(key), "--tls-client-ca", str(folder / "ca.crt")),
        *("--auth", "mtls,tokens", "--auth-identities-file", str(folder / "identities.toml")),
        *("--auth-tokens-file", str(folder / "tokens.toml")),
    ]
    with serving(folder / "artemis.db", *flags) as server:
        yield Guarded(server, authority, Issuer(), writer=token)


def test_a_certificate_has_the_role_of_its_identity(mutual: Guarded) -> None:
    billing = mutual.authority.client("reports", "spiffe://example.org/billing")
    reports = mutual.authority.client("reports")
    made = Event.FromString(mutual.call(CREATE, client=billing))
    assert made == Event.FromString(mutual.call(GetEventRequest(id=made.id), client=reports))
    assert refusal(mutual.call, CREATE, client=reports) == DENIED
    mutual.server.log.wait_for(
        rf"audit principal=spiffe://example.org/billing credentials=certificate .* ids={made.id} "
    )


def test_a_certificate_without_an_identity_is_not_enough(mutual: Guarded) -> None:
    for other in (
        mutual.authority.client("others"),
        mutual.authority.client("reports", "spiffe://example.org/other"),
        mutual.authority.client("reports", "spiffe://Not A Name/"),
        mutual.authority.client("CN=reports"),
    ):
        assert refusal(mutual.call, GET, client=other) == REQUIRED


def test_a_token_counts_before_the_certificate(mutual: Guarded) -> None:
    reports = mutual.authority.client("reports")
    mutual.call(CREATE, bearer(mutual.writer), client=reports)
    assert refusal(mutual.call, GET, bearer(new_token()), client=reports) == INVALID


def test_a_bad_client_certificate_gets_no_connection(mutual: Guarded) -> None:
    """One of another authority, an expired or a future one, or none: also with a good token."""
    for client in (
        mutual.strangers.client("reports"),
        mutual.authority.client("reports", begins=-2 * DAY, ends=-DAY),
        mutual.authority.client("reports", begins=DAY, ends=2 * DAY),
        None,
    ):
        assert refusal(mutual.call, GET, bearer(mutual.writer), client=client) == NO_CONNECTION
    assert Event.FromString(mutual.call(CREATE, bearer(mutual.writer), client=mutual.authority.client())).id
    assert SECRETS.search(mutual.server.log.text) is None


def test_a_rate_is_that_of_a_principal(tmp_path: Path) -> None:
    """Callers of one address do not share it. Of many calls at once some are refused, however slow the machine is."""
    tokens = [new_token() for _ in range(2)]
    write_tokens(tmp_path / "tokens.toml", (tokens[0], "reader"), (tokens[1], "writer"))
    flags = ("--auth", "tokens", "--auth-tokens-file", str(tmp_path / "tokens.toml"), "--max-client-rate", "1")
    with serving(tmp_path / "artemis.db", *flags) as server, grpc.insecure_channel(server.target) as channel:
        ask: Any = channel.unary_unary(METHODS[ListEventsRequest])
        calls = [ask.future(b"", metadata=[bearer(tokens[0])], timeout=PATIENCE) for _ in range(30)]
        refused = [call for call in calls if call.exception() is not None]
        assert {refusal(call.result) for call in refused} == {(Code.RESOURCE_EXHAUSTED, "RATE_LIMIT_EXCEEDED")}
        ask(b"", metadata=[bearer(tokens[1])], timeout=PATIENCE)


@pytest.mark.acceptance
@pytest.mark.skipif(not SUPPORTED, reason="several workers need Linux")
def test_each_worker_follows_the_files_by_itself(tmp_path: Path) -> None:
    """And has TLS, though the supervisor, which loads the files first, has forked it. So has a worker that is new.

    While a file is broken, no worker is renewed: it would know the tokens of the supervisor, or none.
    """
    rotation = Rotation(tmp_path)

    def codes(token: str) -> set[Code]:
        found = set()
        for _ in range(8):  # connections, of which each worker gets some
            with rotation.channel(server) as channel:
                found.add(rotation.code(channel, token))
        return found

    with rotation.serving("--workers", "2", "--metrics-listen", "127.0.0.1:0") as server:
        removed = rotation.change()
        for name in ("tokens", "certificate"):
            for worker in (1, 2):
                server.log.wait_for(rf"worker {worker}: .*the {name}: the new one is in use")
        assert codes(rotation.tokens[-1]) == {Code.OK}
        (tmp_path / "tokens.toml").write_text("broken")
        server.process.send_signal(signal.SIGHUP)
        server.log.wait_for("the renewal ends, and the old worker stays")
        assert codes(rotation.tokens[-1]) == {Code.OK}
        assert codes(removed) == {Code.UNAUTHENTICATED}
        rotation.write()
        server.process.send_signal(signal.SIGHUP)
        server.log.wait_for("the workers are renewed")
        assert codes(rotation.tokens[-1]) == {Code.OK}
        assert codes(removed) == {Code.UNAUTHENTICATED}
        found = samples(read(server.log.wait_for(METRICS)[1]))
        assert rotation.expiry == count(found, "artemis_tls_certificate_expiry_timestamp_seconds")
        # Also those that the workers refused that are gone.
        assert count(found, "artemis_calls_refused_total", reason="CREDENTIALS_INVALID") == 16


@pytest.mark.acceptance
@pytest.mark.long
def test_certificates_and_tokens_change_while_callers_call(tmp_path: Path) -> None:
    """No call fails, and a revoked token is refused soon."""
    rotation = Rotation(tmp_path)
    with rotation.serving() as server:
        callers = Callers(rotation, server)
        try:
            removed = []
            for _ in range(2):
                removed.append(rotation.change())
                rotation.wait_for(server)
            with rotation.channel(server) as channel:
                assert {Code.UNAUTHENTICATED} == {rotation.code(channel, token) for token in removed}
        finally:
            codes = callers.stop()
    assert codes.keys() == {Code.OK}
