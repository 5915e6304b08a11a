"""Files of access control: what is refused, and how the values follow the files."""

import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from artemis_server.access import files, identities, key_sets, tokens
from artemis_server.access.files import Watched, read
from artemis_server.access.identities import Identities
from artemis_server.access.tls import Tls
from artemis_server.access.tokens import Tokens, digest_of, entry_text, new_token
from artemis_server.settings import SettingsError
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.certificates import DAY, Authority
from tests.issuer import Issuer, in_base64

NOW = datetime.now(UTC)
AUTHORITY = Authority()


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def entry(token: str, name: str = "billing", role: str = "writer", expires: datetime | None = None) -> str:
    return entry_text(token, name, role, NOW, expires)


# tokens


def test_a_token_is_found_by_its_hash_until_it_expires(tmp_path: Path) -> None:
    lasting, ending, expired = new_token(), new_token(), new_token()
    path = private(
        tmp_path / "tokens",
        entry(lasting) + entry(ending, "b", "reader", NOW + DAY) + entry(expired, "c", expires=NOW - DAY),
    )
    found = Tokens(path)
    assert [each and each.name for each in map(found.find, (lasting, ending, expired, new_token(), "", "\ud800"))] == [
        "billing",
        "b",
        None,
        None,
        None,
        None,
    ]
    assert lasting not in path.read_text()


def test_tokens_are_long_and_differ() -> None:
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert {each[: len(tokens.PREFIX)] for each in made} == {tokens.PREFIX}
    assert {len(each) for each in made} == {len(tokens.PREFIX) + 43}  # 256 bits in base64


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
def test_a_tokens_file_of_the_owner_and_the_readers_of_its_group_is_taken(tmp_path: Path, mode: int) -> None:
    path = private(tmp_path / "tokens", entry(new_token()))
    path.chmod(mode)
    Tokens(path)


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644, 0o620, 0o660, 0o666])
def test_a_tokens_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = private(tmp_path / "tokens", entry(new_token()))
    path.chmod(mode)
    with pytest.raises(SettingsError, match=f"others can use {path}, whose mode is {mode:04o}"):
        Tokens(path)


HASH = f"sha256:{digest_of('x')}"
BAD_TOKENS = [
    ("[[token]\n", "is not TOML"),
    ("\0", "is not TOML"),
    ("a = " + "[" * 10_000, "is not TOML"),
    ("[token]\nname = 'a'", r"may have tables \[\[token\]\] only"),
    ("token = 3", r"may have tables \[\[token\]\] only"),
    ("[[tokens]]\nname = 'a'", r"may have tables \[\[token\]\] only"),
    ("[[token]]\nrole = 'reader'\nhash = 'x'", "token 1 has no name"),
    (f"[[token]]\nname = 'a'\nrole = 'root'\nhash = '{HASH}'", "'root' is not one of reader, writer, admin"),
    ("[[token]]\nname = 'a'\nrole = 'reader'\nhash = 'sha256:abc'", "the hash is not sha256: and 64"),
    ("[[token]]\nname = 'a'\nrole = 'reader'\nhash = 3", "hash is not a str"),
    (f"[[token]]\nname = 'a b'\nrole = 'reader'\nhash = '{HASH}'", "the name is not 1 to 100 letters"),
    (f"[[token]]\nname = 'a'\nrole = 'reader'\nhash = '{HASH}'\nexpire = 2026-01-01T00:00:00Z", "unknown key 'expire'"),
    (f"[[token]]\nname = 'a'\nrole = 'reader'\nhash = '{HASH}'\nexpires = 2026-01-01T00:00:00", "no offset from UTC"),
    (f"[[token]]\nname = 'a'\nrole = 'reader'\nhash = '{HASH}'\nexpires = 2026-01-01", "expires is not a datetime"),
    (f"[[token]]\nname = 'a'\nrole = 'reader'\nhash = '{HASH}'\n" * 2, "token 2 has the hash of an earlier token"),
]


@pytest.mark.parametrize(("text", "why"), BAD_TOKENS)
def test_a_malformed_tokens_file_is_refused_in_one_line(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as refused:
        Tokens(private(tmp_path / "tokens", text))
    assert "\n" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"cannot read {tmp_path}/none: No such file"):
        Tokens(tmp_path / "none")
    with pytest.raises(SettingsError, match=f"cannot read {tmp_path}: Is a directory"):
        Tokens(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(SettingsError, match=f"{tmp_path}/pipe is not a regular file"):
        Tokens(tmp_path / "pipe")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "binary").chmod(0o600)
    with pytest.raises(SettingsError, match="is not UTF-8"):
        Tokens(tmp_path / "binary")


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    (tmp_path / "file").write_bytes(bytes(11))
    with pytest.raises(SettingsError, match="has more than 10 bytes"):
        read(tmp_path / "file")


# files that change


def test_a_new_token_is_taken_and_a_removed_one_is_not(tmp_path: Path) -> None:
    old, new = new_token(), new_token()
    path = private(tmp_path / "tokens", entry(old))
    found = Tokens(path)
    private(path, entry(new))
    assert found.find(old) is not None
    found.refresh()
    assert (found.find(old), found.find(new) is not None) == (None, True)


def test_a_symbolic_link_that_is_swapped_is_followed(tmp_path: Path) -> None:
    """As Kubernetes changes a mounted secret: the file is a link to ..data/tokens, and ..data to a new folder."""
    old, new = new_token(), new_token()
    for folder, token in (("1", old), ("2", new)):
        (tmp_path / folder).mkdir()
        private(tmp_path / folder / "tokens", entry(token))
    os.utime(tmp_path / "2" / "tokens", ns=(0, 0))
    os.utime(tmp_path / "1" / "tokens", ns=(0, 0))
    (tmp_path / "..data").symlink_to("1")
    (tmp_path / "tokens").symlink_to("..data/tokens")
    found = Tokens(tmp_path / "tokens")
    (tmp_path / "..data_tmp").symlink_to("2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    found.refresh()
    assert (found.find(old), found.find(new) is not None) == (None, True)


BREAK: dict[str, Callable[[Path], object]] = {
    "malformed": lambda path: path.write_text("[["),
    "missing": lambda path: path.unlink(),
    "readable": lambda path: path.chmod(0o644),
}


@pytest.mark.parametrize("how", BREAK)
def test_a_broken_file_keeps_the_old_entries_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    caplog.set_level(logging.INFO)
    token, new = new_token(), new_token()
    path = private(tmp_path / "tokens", entry(token))
    found = Tokens(path)
    BREAK[how](path)
    found.refresh()
    assert caplog.messages == [], "a file may be written just now"
    for _ in range(3):
        found.refresh()
    (said,) = caplog.messages
    assert said.startswith("the tokens: the old one stays in use: ")
    assert found.find(token) is not None
    private(path, entry(new))
    found.refresh()
    assert caplog.messages[1:] == ["the tokens: the new one is in use"]
    assert (found.find(token), found.find(new) is not None) == (None, True)


def test_a_value_is_made_again_only_when_the_contents_change() -> None:
    parsed: list[tuple[bytes, ...]] = []
    contents = [b"a"]
    watched = Watched("it", lambda: tuple(contents), parsed.append)
    for _ in range(3):
        watched.refresh()
    contents[0] = b"b"
    watched.refresh()
    assert parsed == [(b"a",), (b"b",)]


# identities

SPIFFE = "spiffe://example.org/billing"


def identity(name: str, role: str = "reader") -> str:
    return f'[[identity]]\nname = "{name}"\nrole = "{role}"\n'


def test_an_identity_is_a_spiffe_id_or_a_common_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(identity(SPIFFE, "writer") + identity("CN=reports"))
    found = Identities(tmp_path / "file")

    def name(**context: list[bytes]) -> str | None:
        principal = found.find(context)
        return None if principal is None else principal.name

    assert name(peer_spiffe_id=[SPIFFE.encode()], peer_uri=[SPIFFE.encode()], x509_common_name=[b"x"]) == SPIFFE
    assert name(x509_common_name=[b"reports"]) == "CN=reports"
    assert name(x509_common_name=[b"reports"], peer_uri=[b"https://example.org"]) == "CN=reports"
    assert name() is None
    assert name(x509_common_name=[b"reports", b"reports"]) is None
    assert name(x509_common_name=[b"reports"], peer_spiffe_id=[b"spiffe://example.org/other"]) is None
    assert name(x509_common_name=[b"reports"], peer_uri=[b"spiffe://a/b", b"spiffe://a/c"]) is None
    assert name(x509_common_name=[SPIFFE.encode()]) is None
    assert name(x509_common_name=[b"\xff"]) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (identity("billing"), "neither a SPIFFE id"),
        (identity("CN=a") * 2, "identity 2 has the name of an earlier identity"),
        (identity("CN=a", "root"), "'root' is not one of"),
        (identity("CN=a") + "color = 'red'", "unknown key 'color'"),
        ('[[identity]]\nname = "CN=a\\nb"\nrole = "reader"', "neither a SPIFFE id"),
    ],
)
def test_a_malformed_identities_file_is_refused(text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        identities.parse(text.encode(), Path("file"))


# TLS


def tls(folder: Path, cert: bytes, key: bytes, ca: bytes | None = None) -> Tls:
    (folder / "cert").write_bytes(cert)
    (folder / "key").write_bytes(key)
    if ca is not None:
        (folder / "ca").write_bytes(ca)
    return Tls(folder / "cert", folder / "key", None if ca is None else folder / "ca")


def test_a_chain_and_a_key_of_older_tools_are_taken(tmp_path: Path) -> None:
    """A file of a key may begin with the parameters of its curve."""
    pair = AUTHORITY.server()
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    loaded = load_pem_private_key(pair.key, None)
    old = loaded.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    tls(tmp_path, pair.cert + AUTHORITY.pem, parameters + old, AUTHORITY.pem).credentials()


def encrypted(key: bytes) -> bytes:
    encryption = BestAvailableEncryption(b"secret")
    return load_pem_private_key(key, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def ed25519_key() -> bytes:
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def key_on(curve: ec.EllipticCurve) -> bytes:
    key = ec.generate_private_key(curve)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


PAIR = AUTHORITY.server()
BAD_PAIRS = [
    (PAIR.cert, AUTHORITY.server().key, "key is not the key of the first certificate in .*cert"),
    (AUTHORITY.pem + PAIR.cert, PAIR.key, "key is not the key of the first certificate in .*cert"),
    (PAIR.cert, encrypted(PAIR.key), "key is encrypted"),
    (PAIR.cert, ed25519_key(), "neither an RSA nor an EC key"),
    (PAIR.cert, key_on(ec.SECP256K1()), "key is on the curve secp256k1, and gRPC takes only"),
    (PAIR.cert, b"", "key has no private key in PEM form"),
    (PAIR.cert, PAIR.cert, "key has no private key in PEM form"),
    (b"", PAIR.key, "cert has no certificate in PEM form"),
    (PAIR.cert[:-100], PAIR.key, "cert has no certificate in PEM form, or a broken one"),
]


@pytest.mark.parametrize(("cert", "key", "why"), BAD_PAIRS)
def test_a_pair_that_no_handshake_could_use_is_refused(tmp_path: Path, cert: bytes, key: bytes, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as refused:
        tls(tmp_path, cert, key)
    assert "\n" not in str(refused.value)


def test_a_certificate_that_is_not_valid_today_is_refused(tmp_path: Path) -> None:
    past, future = AUTHORITY.server(-2 * DAY, -DAY), AUTHORITY.server(DAY, 2 * DAY)
    with pytest.raises(SettingsError, match=f"cert expired on {NOW - DAY:%Y-%m-%d}"):
        tls(tmp_path, past.cert, past.key)
    with pytest.raises(SettingsError, match=f"cert is not valid before {NOW + DAY:%Y-%m-%d}"):
        tls(tmp_path, future.cert, future.key)
    with pytest.raises(SettingsError, match="ca expired on"):
        tls(tmp_path, PAIR.cert, PAIR.key, past.cert)
    tls(tmp_path, PAIR.cert, PAIR.key, past.cert + AUTHORITY.pem)


def test_a_handshake_gets_a_new_pair_once_and_never_a_broken_one(tmp_path: Path) -> None:
    served = tls(tmp_path, PAIR.cert, PAIR.key)
    served.credentials()
    new = AUTHORITY.server()
    assert served._new() is None
    (tmp_path / "cert").write_bytes(new.cert)
    served.refresh()
    assert served._new() is None, "the key does not match yet"
    (tmp_path / "key").write_bytes(new.key)
    served.refresh()
    assert served._new() is not None
    assert served._new() is None


# keys of JWTs


def test_keys_that_no_jwt_can_need_are_left_out() -> None:
    issuer = Issuer()
    others = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "symmetric"},
        issuer.jwk(kid="for encryption", use="enc"),
        issuer.jwk(kid="of another algorithm", alg="ES384"),
        {"kty": "OKP", "crv": "X25519", "x": "abc", "kid": "exchange"},
        {"kty": "new", "kid": "unknown"},
    ]
    content = json.dumps({"keys": [issuer.jwk(), *others]}).encode()
    assert list(key_sets.parse(content, "keys").keys) == [issuer.kid]


def encoded_number(number: int) -> str:
    return in_base64(number.to_bytes((number.bit_length() + 7) // 8, "big"))


WEAK = Issuer("weak", rsa.generate_private_key(65537, 1024), "RS256")  # noqa: S505, it is to be refused
BAD_KEYS = [
    (b"", "is not a JSON Web Key Set"),
    (b"<html>", "is not a JSON Web Key Set"),
    (b"[]", "is not a JSON Web Key Set"),
    (b"{}", "is not a JSON Web Key Set"),
    (b'{"keys": 3}', "is not a JSON Web Key Set"),
    (b'{"keys": [3]}', "is not a JSON Web Key Set"),
    (b'{"keys": []}', "has no key for RS256, PS256, ES256, EdDSA"),
    (b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "has no key for"),
    (b'{"keys": [{"kty": "RSA", "n": "x"}]}', "is not a JSON Web Key Set"),
    (b"[" * 100_000, "is not a JSON Web Key Set"),
    (WEAK.key_set(), "'weak' has 1024 bits, and not 2048 to 16384"),
    (json.dumps({"keys": [WEAK.jwk(n=encoded_number(2**20_000 + 1))]}).encode(), "'weak' has 20001 bits, and not"),
    (json.dumps({"keys": [Issuer().jwk(d="abc")]}).encode(), "is a private key"),
]


@pytest.mark.parametrize(("content", "why"), BAD_KEYS, ids=range(len(BAD_KEYS)))
def test_keys_that_cannot_be_used_are_refused(content: bytes, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        key_sets.parse(content, "keys")


def test_the_time_between_two_looks_keeps_the_promise_of_a_revoked_token() -> None:
    assert timedelta(seconds=files.INTERVAL) < timedelta(seconds=5)
