"""Settings of access control: which belong together, and that a server is open only where it was said to be."""

from pathlib import Path

import pytest
from artemis_server.settings import Settings, SettingsError, parse

TLS = ("--tls-cert", "c", "--tls-key", "k")
TOKENS = ("--auth", "tokens", "--auth-tokens-file", "t")
JWT = ("--auth", "jwt", "--auth-jwks-url", "keys.json", "--auth-issuer", "i", "--auth-audience", "a")
MTLS = (*TLS, "--tls-client-ca", "ca", "--auth", "mtls", "--auth-identities-file", "f")


def serve(*flags: str, **environment: str) -> Settings:
    return parse(["serve", *flags], environment)


@pytest.mark.parametrize("flags", [(), TLS, TOKENS, JWT, MTLS, (*TLS, *TOKENS), (*TLS, "--tls-client-ca", "ca")])
def test_a_loopback_address_takes_any_of_them(flags: tuple[str, ...]) -> None:
    serve(*flags)
    parse(["check", *flags], {})


@pytest.mark.parametrize("flags", [(*TLS, *TOKENS), (*TLS, *JWT), MTLS, (*MTLS, "--auth", "mtls,tokens", *TOKENS[2:])])
def test_other_addresses_are_taken_with_tls_and_authentication(flags: tuple[str, ...]) -> None:
    assert serve(*flags, "--listen", "0.0.0.0:1").listen == "0.0.0.0:1"


@pytest.mark.parametrize(
    ("flags", "missing"),
    [
        ((), "--tls-cert and --auth"),
        (TLS, "--auth"),
        (TOKENS, "--tls-cert"),
        (JWT, "--tls-cert"),
        ((*TLS, "--tls-client-ca", "ca"), "--auth"),
    ],
)
def test_other_addresses_need_both(flags: tuple[str, ...], missing: str) -> None:
    with pytest.raises(SettingsError, match=rf"refusing to listen on \[::\]:1 without {missing}, because"):
        serve(*flags, "--listen", "[::]:1")
    assert serve(*flags, "--listen", "[::]:1", "--insecure").insecure


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--tls-cert", "c"), "--tls-cert and --tls-key need each other"),
        (("--tls-key", "k"), "--tls-cert and --tls-key need each other"),
        (("--tls-client-ca", "ca"), "--tls-client-ca needs --tls-cert"),
        (("--auth", "tokens"), "--auth tokens needs --auth-tokens-file"),
        (("--auth", "jwt", "--auth-jwks-url", "u", "--auth-audience", "a"), "--auth jwt needs --auth-issuer"),
        (("--auth", "jwt", "--auth-jwks-url", "u", "--auth-issuer", "i"), "--auth jwt needs --auth-audience"),
        (("--auth", "jwt", "--auth-issuer", "i", "--auth-audience", "a"), "--auth jwt needs --auth-jwks-url"),
        ((*TLS, "--auth", "mtls", "--auth-identities-file", "f"), "--auth mtls needs --tls-client-ca"),
        ((*TLS, "--auth", "mtls", "--tls-client-ca", "ca"), "--auth mtls needs --auth-identities-file"),
        (TOKENS[2:], "--auth-tokens-file has no effect without --auth tokens"),
        (("--auth-issuer", "i"), "--auth-issuer has no effect without --auth jwt"),
        (("--auth-identities-file", "f"), "--auth-identities-file has no effect without --auth mtls"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(flags: tuple[str, ...], why: str) -> None:
    """A setting that has no effect would leave a server open whose operator thinks that it is closed."""
    for insecure in ((), ("--insecure",)):
        with pytest.raises(SettingsError) as refused:
            serve(*flags, *insecure)
        assert str(refused.value) == why


def test_the_environment_sets_all_of_them() -> None:
    settings = serve(
        ARTEMIS_TLS_CERT="c",
        ARTEMIS_TLS_KEY="k",
        ARTEMIS_TLS_CLIENT_CA="ca",
        ARTEMIS_AUTH="mtls, tokens,jwt,tokens",
        ARTEMIS_AUTH_TOKENS_FILE="t",
        ARTEMIS_AUTH_IDENTITIES_FILE="f",
        ARTEMIS_AUTH_JWKS_URL="https://example.org/keys",
        ARTEMIS_AUTH_ISSUER="i",
        ARTEMIS_AUTH_AUDIENCE="a",
        ARTEMIS_AUTH_ROLE_CLAIM="roles",
    )
    assert settings == Settings(
        command="serve",
        tls_cert=Path("c"),
        tls_key=Path("k"),
        tls_client_ca=Path("ca"),
        auth=("mtls", "tokens", "jwt"),
        auth_tokens_file=Path("t"),
        auth_identities_file=Path("f"),
        auth_jwks_url="https://example.org/keys",
        auth_issuer="i",
        auth_audience="a",
        auth_role_claim="roles",
    )


@pytest.mark.parametrize(
    "url", ["https://example.org/k", "http://127.0.0.1:80/k", "http://localhost/k", "file:///k", "k"]
)
def test_keys_come_from_where_nobody_on_the_network_can_change_them(url: str) -> None:
    assert serve(*JWT, "--auth-jwks-url", url).auth_jwks_url == url


@pytest.mark.parametrize(
    "flags",
    [
        ("--auth", "token"),
        ("--auth", "tokens,,jwt"),
        ("--auth", "none"),
        (*JWT, "--auth-jwks-url", "http://example.org/keys"),
        (*JWT, "--auth-jwks-url", "ftp://example.org/keys"),
        (*JWT, "--auth-jwks-url", "http://localhost.example.org/keys"),
    ],
)
def test_a_value_that_means_nothing_is_a_usage_error(
    flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        serve(*flags)
    assert ended.value.code == 2
    assert "--auth" in capsys.readouterr().err.splitlines()[-1]
