"""The target and credentials of a client come from arguments, or else from the environment."""

import json
import math
from pathlib import Path
from typing import Any

import grpc
import pytest
from artemis_client import ArtemisClient, Keepalive, Retry, tls
from artemis_client.config import Connection, connection

from tests.certificates import Authority

ELSEWHERE = "artemis.example.com:443"


def found(
    target: str | None = None,
    *,
    token: str | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    insecure: bool = False,
    **variables: Any,
) -> Connection:
    """Returns the connection of a client with these arguments and these variables, without their ARTEMIS_."""
    environ = {f"ARTEMIS_{name}": value for name, value in variables.items()}
    return connection(target, credentials, token, insecure=insecure, environ=environ)


def token_of(connection: Connection) -> str | None:
    return None if connection.token is None else str(connection.token())


def options_of(target: str, *, token: str | None = None, keepalive: Keepalive | None = None) -> dict[str, str | int]:
    return dict(found(target, token=token).options(keepalive or Keepalive()))


def test_arguments_come_before_the_environment() -> None:
    variables: dict[str, Any] = {"TARGET": "localhost:1", "TOKEN": "theirs"}

    assert [found(**variables).target, found("localhost:2", **variables).target] == ["localhost:1", "localhost:2"]
    assert [token_of(found(**variables)), token_of(found(token="mine", **variables))] == ["theirs", "mine"]
    assert token_of(found(TARGET="localhost:1")) is None


def test_the_file_of_a_token_is_read_for_each_call(tmp_path: Path) -> None:
    file = tmp_path / "token"
    connection = found("localhost:1", TOKEN_FILE=str(file))
    with pytest.raises(FileNotFoundError):
        token_of(connection)
    for token in ("first", "second"):
        file.write_text(f"{token}\n", encoding="ascii")
        assert token_of(connection) == token


def test_the_environment_gives_certificates(tmp_path: Path) -> None:
    authority = Authority()
    cert, key = authority.client().write(tmp_path, "client")
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.pem)

    given: list[dict[str, Any]] = [
        {"TLS": "true"},
        {"CA": str(ca)},
        {"CA": str(ca), "CERT": str(cert), "KEY": str(key)},
        {"TLS": "1", "CA": str(ca)},
    ]
    for variables in given:
        assert found(ELSEWHERE, TOKEN="t", **variables).credentials is not None
    own = tls(ca)
    assert found(ELSEWHERE, credentials=own, CA="/nowhere").credentials is own


def test_without_tls_a_token_goes_elsewhere_only_where_that_is_allowed() -> None:
    with pytest.raises(ValueError, match="refusing to send a token"):
        found(ELSEWHERE, TOKEN="t")

    assert [token_of(found(ELSEWHERE, TOKEN="t", TLS=no)) for no in ("false", "0", "False")] == ["t"] * 3
    assert found(ELSEWHERE, TOKEN="t", TLS="true", insecure=True).credentials is None


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"TOKEN": "t"}, "give the target"),
        ({"TARGET": ""}, "give the target"),
        ({"target": "", "TARGET": "x:1"}, "give the target"),
        ({"target": "", "token": "t"}, "give the target"),
        ({"TARGET": "x:1", "TOKEN": "t", "TOKEN_FILE": "f"}, "set ARTEMIS_TOKEN or ARTEMIS_TOKEN_FILE, not both"),
        ({"TARGET": "x:1", "TLS": "yes"}, "ARTEMIS_TLS must be true or false, not 'yes'"),
        ({"TARGET": "x:1", "TLS": "false", "CA": "f"}, "ARTEMIS_TLS is false"),
        ({"TARGET": "x:1", "CERT": "f"}, "cert and key belong together"),
        ({"TARGET": "x:1", "TOKEN": "two words"}, "a token has one or more visible ASCII characters"),
    ],
)
def test_variables_that_say_nothing_clear_are_refused(variables: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        found(**variables)


@pytest.mark.parametrize("target", ["dns:///artemis:1", "dns://10.0.0.53/artemis:1", "ipv4:10.0.0.1:1,10.0.0.2:1"])
def test_several_servers_are_called_in_turn_if_they_are_healthy(target: str) -> None:
    assert json.loads(str(options_of(target)["grpc.service_config"])) == {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": ""},
    }


@pytest.mark.parametrize(("seconds", "milliseconds"), [(math.inf, 2**31 - 1), (1e9, 2**31 - 1), (0.5, 500), (1e-9, 1)])
def test_a_keepalive_has_any_number_of_seconds(seconds: float, milliseconds: int) -> None:
    options = options_of("artemis:1", keepalive=Keepalive(time=seconds, timeout=seconds))
    assert [options[f"grpc.keepalive_{name}_ms"] for name in ("time", "timeout")] == [milliseconds, milliseconds]


@pytest.mark.parametrize("target", ["artemis:1", "127.0.0.1:1", "unix:/run/artemis.sock"])
def test_one_server_is_not_asked_for_its_health(target: str) -> None:
    assert "healthCheckConfig" not in str(options_of(target)["grpc.service_config"])


def test_a_keepalive_is_in_seconds() -> None:
    options = options_of("x:1", keepalive=Keepalive(time=20, timeout=2.5))

    assert (options["grpc.keepalive_time_ms"], options["grpc.keepalive_timeout_ms"]) == (20000, 2500)


@pytest.mark.parametrize(
    "settings",
    [
        lambda: Keepalive(time=0),
        lambda: Keepalive(timeout=-1),
        lambda: Retry(max_attempts=0),
        lambda: Retry(initial_backoff=0),
        lambda: Retry(initial_backoff=3),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: object) -> None:
    assert callable(settings)
    with pytest.raises(ValueError, match="must be"):
        settings()


@pytest.mark.parametrize(
    "more",
    [
        {"target": "x:1"},
        {"credentials": grpc.ssl_channel_credentials()},
        {"insecure": True},
        {"keepalive": Keepalive()},
        {"interceptors": [object()]},
    ],
)
def test_a_channel_of_the_caller_takes_no_settings_of_a_connection(more: dict[str, object]) -> None:
    with grpc.insecure_channel("127.0.0.1:1") as channel, pytest.raises(ValueError, match="a channel of your own"):
        ArtemisClient(channel=channel, **more)  # type: ignore[arg-type]  # each is right
