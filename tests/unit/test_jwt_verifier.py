"""JWTs: which are valid, that a check holds up nobody, and how the keys are renewed."""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import jwt
import pytest
from artemis.v1.access_pb2 import ROLE_ADMIN, ROLE_READER, ROLE_WRITER
from artemis_server.access import files, jwt_verifier, key_sets
from artemis_server.access.jwt_verifier import JwtVerifier
from artemis_server.access.key_sets import InvalidJwtError, Rules, UnknownKeyError
from artemis_server.access.principal import Principal
from artemis_server.settings import SettingsError
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tests.e2e.servers import PATIENCE
from tests.issuer import AUDIENCE, ISSUER, Issuer, claims_of

RULES = Rules(issuer=ISSUER, audience=AUDIENCE, role_claim="role")
SIGNER = Issuer()


def verify(token: str, *signers: Issuer, rules: Rules = RULES) -> Principal:
    keys = key_sets.parse((signers or (SIGNER,))[0].key_set(*signers[1:]), "keys")
    return keys.verify(token, hashlib.sha256(token.encode()).digest(), rules)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_each_algorithm_is_taken(algorithm: str) -> None:
    keys: dict[str, Any] = {
        "RS256": rsa.generate_private_key(65537, 2048),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }
    signer = Issuer("a", keys.get("RS256" if algorithm == "PS256" else algorithm), algorithm)
    assert verify(signer.token(), signer) == Principal(name="ada", role=ROLE_READER, kind="jwt")


def test_a_key_without_an_id_is_that_of_a_jwt_without_one() -> None:
    signer = Issuer("")
    token = jwt.encode(claims_of(), signer.key, "ES256")
    assert verify(token, signer).name == "ada"
    with pytest.raises(UnknownKeyError):
        verify(token, SIGNER)


@pytest.mark.parametrize("kid", ["", "same"])
def test_several_keys_may_have_one_id(kid: str) -> None:
    """Such as none, or one for each algorithm."""
    signers = [Issuer(kid), Issuer(kid), Issuer(kid, rsa.generate_private_key(65537, 2048), "RS256")]
    for signer in signers:
        assert verify(signer.token(), *signers).name == "ada"
    with pytest.raises(InvalidJwtError):
        verify(Issuer(kid).token(), *signers)
    with pytest.raises(InvalidJwtError, match="ExpiredSignatureError"):
        verify(signers[1].token(**moved(exp=-90)), *signers)


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS512"])
def test_no_other_algorithm_is_taken(algorithm: str) -> None:
    signer = Issuer("a", rsa.generate_private_key(65537, 2048), algorithm)
    with pytest.raises(InvalidJwtError):
        verify(signer.token(), signer)


def test_a_key_takes_the_algorithm_that_it_names_alone() -> None:
    key = rsa.generate_private_key(65537, 2048)
    content = json.dumps({"keys": [Issuer("a", key, "RS256").jwk(alg="PS256")]})
    keys = key_sets.parse(content.encode(), "keys")
    assert keys.verify(Issuer("a", key, "PS256").token(), b"1", RULES).name == "ada"
    with pytest.raises(InvalidJwtError):
        keys.verify(Issuer("a", key, "RS256").token(), b"2", RULES)


ROLES = [
    ("reader", ROLE_READER),
    ("writer", ROLE_WRITER),
    ("admin", ROLE_ADMIN),
    ("openid writer profile", ROLE_WRITER),
    (["reader", "admin", "other"], ROLE_ADMIN),
    (["reader", 3, None], ROLE_READER),
    ("Admin", 0),
    ("", 0),
    (None, 0),
    ({"admin": True}, 0),
    (True, 0),
]


@pytest.mark.parametrize(("claim", "role"), ROLES)
def test_the_role_is_the_greatest_in_the_claim(claim: object, role: int) -> None:
    assert verify(SIGNER.token(role=claim)).role == role


def test_another_claim_may_name_the_role() -> None:
    rules = Rules(issuer=ISSUER, audience=AUDIENCE, role_claim="https://example.org/roles")
    claims: dict[str, Any] = {"https://example.org/roles": ["writer"]}
    token = SIGNER.token(role="admin", **claims)
    assert verify(token, rules=rules).role == ROLE_WRITER


def moved(**seconds: int) -> dict[str, Any]:
    """Returns claims that are times, so many seconds from now."""
    return {name: int(time.time()) + offset for name, offset in seconds.items()}


def test_a_clock_may_differ_by_a_minute() -> None:
    for claims in (moved(exp=-40), moved(nbf=40, iat=40)):
        assert verify(SIGNER.token(**claims)).name == "ada"


BAD: list[dict[str, Any]] = [
    {"exp": "soon"},
    {"exp": float("inf")},
    {"sub": ""},
    {"sub": "a\nb"},
    {"sub": "a" * 201},
    {"iss": ISSUER + "/"},
    {"aud": []},
    {"aud": AUDIENCE.upper()},
    *({name: None} for name in ("exp", "sub", "iss", "aud")),
]


@pytest.mark.parametrize("changes", BAD, ids=str)
def test_a_jwt_with_a_bad_claim_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidJwtError) as refused:
        verify(SIGNER.token(**changes))
    assert not any(str(value) in str(refused.value) for value in changes.values() if value)


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "\ud800", "é.é.é", "e30.e30.e30", "." * 8000, "W10.e30."])
def test_a_text_that_is_no_jwt_is_refused(token: str) -> None:
    with pytest.raises((InvalidJwtError, UnknownKeyError)):
        key_sets.parse(SIGNER.key_set(), "keys").verify(token, b"", RULES)


@pytest.mark.parametrize("claims", [{"exp": -90}, {"nbf": 120}, {"iat": 120}], ids=str)
def test_a_jwt_of_another_time_is_refused(claims: dict[str, int]) -> None:
    with pytest.raises(InvalidJwtError):
        verify(SIGNER.token(**moved(**claims)))


def test_a_verified_jwt_is_known_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = key_sets.parse(SIGNER.key_set(), "keys")
    end = moved(exp=100)
    found = keys.verify(SIGNER.token(**end), b"digest", RULES)
    assert [keys.find(b"digest"), keys.find(b"other")] == [found, None]
    monkeypatch.setattr(time, "time", lambda: end["exp"] + key_sets.LEEWAY + 1)
    assert keys.find(b"digest") is None


def test_the_oldest_verified_jwt_is_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_sets, "MAX_VERIFIED", 2)
    keys = key_sets.parse(SIGNER.key_set(), "keys")
    for digest in (b"1", b"2", b"3"):
        keys.verify(SIGNER.token(), digest, RULES)
    assert [keys.find(digest) is None for digest in (b"1", b"2", b"3")] == [True, False, False]


# the threads


class Keys:
    """A server of keys."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.code = 200
        self.asked = self.answered = 0
        keys = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                keys.asked += 1
                self.send_response(keys.code)
                if keys.code == 302:
                    self.send_header("location", "/other")
                self.end_headers()
                self.wfile.write(keys.content)
                keys.answered += 1

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def served() -> Iterator[Keys]:
    keys = Keys(SIGNER.key_set())
    yield keys
    keys.stop()


@contextmanager
def verifying(source: str, served: Keys | None = None) -> Iterator[JwtVerifier]:
    """Runs a verifier, which has asked for the keys twice: when it was made and when it was started."""
    verifier = JwtVerifier(source, RULES)
    verifier.start()
    while served is not None and served.answered < 2:
        time.sleep(0)
    yield verifier
    verifier.stop()


def check(verifier: JwtVerifier, token: str) -> str | None:
    """Returns the name of a JWT's principal, once another thread has found it."""
    results: SimpleQueue[Principal | None] = SimpleQueue()
    assert verifier.verify(token, results.put)
    principal = results.get(timeout=PATIENCE)
    assert principal == verifier.find(token)
    return None if principal is None else principal.name


def test_an_unknown_key_is_looked_for_once_in_a_while(served: Keys) -> None:
    new, newer = Issuer("new"), Issuer("newer")
    with verifying(served.url, served) as verifier:
        assert check(verifier, SIGNER.token()) == "ada"
        served.content = SIGNER.key_set(new)
        assert check(verifier, new.token()) == "ada"
        asked = served.asked
        served.content = SIGNER.key_set(new, newer)
        assert [check(verifier, newer.token(jti=number)) for number in map(str, range(20))] == [None] * 20
        assert served.asked == asked, "callers must not make the server ask as often as they call"


def test_calls_with_an_unknown_key_wait_and_hold_up_nobody(served: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other ones are checked while the new keys are on their way."""
    asked, go_on = threading.Event(), threading.Event()
    new = Issuer("new")
    load = key_sets.load
    with verifying(served.url, served) as verifier:
        assert check(verifier, SIGNER.token()) == "ada"

        def slow(source: str) -> bytes:
            asked.set()
            assert go_on.wait(PATIENCE)
            return load(source)

        monkeypatch.setattr(key_sets, "load", slow)
        results: SimpleQueue[Principal | None] = SimpleQueue()
        served.content = SIGNER.key_set(new)
        for number in range(5):
            assert verifier.verify(new.token(jti=str(number)), results.put)
        assert asked.wait(PATIENCE)
        assert check(verifier, SIGNER.token(sub="grace")) == "grace"
        assert results.empty()
        go_on.set()
        assert [principal and principal.name for principal in (results.get(timeout=PATIENCE) for _ in range(5))] == [
            "ada"
        ] * 5


def test_a_key_that_is_removed_verifies_nothing_more(served: Keys) -> None:
    """Also no JWT that was verified before."""
    other, token = Issuer("other"), SIGNER.token()
    with verifying(served.url, served) as verifier:
        assert check(verifier, token) == "ada"
        served.content = other.key_set()
        verifier.refresh()
        assert verifier.find(token) is None
        assert check(verifier, token) is None


def test_keys_that_cannot_be_had_leave_the_old_ones(served: Keys, caplog: pytest.LogCaptureFixture) -> None:
    with verifying(served.url, served) as verifier:
        check(verifier, SIGNER.token())
        for code, content in ((500, b""), (302, b""), (200, b"nonsense")):
            served.code, served.content = code, content
            for _ in range(3):
                verifier.refresh()
            assert check(verifier, SIGNER.token(sub=f"user-{code}")) == f"user-{code}"
    said = [message for message in caplog.messages if "stays in use" in message]
    assert [f"cannot get {served.url}: it answers 500" in said[0], "it answers 302" in said[1]] == [True, True]
    assert "is not a JSON Web Key Set" in said[2]
    assert len(said) == 3


def test_a_queue_that_is_full_refuses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(jwt_verifier, "MAX_QUEUE", 2)
    (tmp_path / "keys").write_bytes(SIGNER.key_set())
    verifier = JwtVerifier(str(tmp_path / "keys"), RULES)  # it is not started
    asked = [verifier.verify(SIGNER.token(), lambda _: None) for _ in range(3)]
    assert asked == [True, True, False]


def test_a_file_of_keys_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwt_verifier, "INTERVAL", 0.01)
    new = Issuer("new")
    path = tmp_path / "the keys"
    path.write_bytes(SIGNER.key_set())
    with verifying(f"file://{tmp_path}/the%20keys") as verifier:
        assert check(verifier, SIGNER.token()) == "ada"
        path.write_bytes(new.key_set())
        assert check(verifier, new.token()) == "ada"


@contextmanager
def answering(raw: bytes | None) -> Iterator[str]:
    """Runs a server that answers these bytes, or never, and yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            accepted, _ = listening.accept()
            with accepted:
                accepted.sendall(raw or b"")

        if raw is not None:
            threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/keys"


@pytest.mark.parametrize(
    "raw", [None, b"", b"SSH-2.0\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", b"\0" * 100]
)
def test_a_server_of_keys_that_does_not_speak_http_is_refused(
    raw: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_sets, "TIMEOUT", 0.1)
    with (
        answering(raw) as url,
        pytest.raises(SettingsError, match=f"cannot get {url}: .|{url} is not a JSON") as refused,
    ):
        JwtVerifier(url, RULES)
    assert "\n" not in str(refused.value)


def test_a_server_of_keys_that_dribbles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, and the answer does not."""
    monkeypatch.setattr(key_sets, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def dribble() -> None:
            accepted, _ = listening.accept()
            with accepted, suppress(OSError):
                accepted.sendall(b"HTTP/1.1 200 OK\r\nx: ")
                while accepted.send(b"x"):
                    time.sleep(0.01)

        threading.Thread(target=dribble, daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/keys"
        with pytest.raises(SettingsError, match=f"cannot get {url}: |{url} answers more than"):
            JwtVerifier(url, RULES)


def test_keys_that_cannot_be_had_at_the_start_are_refused(
    served: Keys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(key_sets, "MAX_BYTES", 1000)
    served.content = bytes(2000)
    with pytest.raises(SettingsError, match=f"{served.url} answers more than 1000 bytes"):
        JwtVerifier(served.url, RULES)
    with pytest.raises(SettingsError, match=f"cannot read {tmp_path}/missing: No such file"):
        JwtVerifier(str(tmp_path / "missing"), RULES)
    with pytest.raises(SettingsError, match=r"cannot get https://127.0.0.1:1/keys: Connection refused"):
        JwtVerifier("https://127.0.0.1:1/keys", RULES)
    with pytest.raises(SettingsError, match=r"cannot get https://127.0.0.1:port/keys: "):
        JwtVerifier("https://127.0.0.1:port/keys", RULES)


def test_a_removed_key_works_for_a_documented_time() -> None:
    assert jwt_verifier.REFRESH_INTERVAL + key_sets.TIMEOUT <= 60
    assert files.INTERVAL <= 5
