"""Settings: flags over the environment over defaults, and refusal of what cannot be meant."""

from collections.abc import Mapping, Sequence
from dataclasses import FrozenInstanceError, fields
from importlib.metadata import version
from pathlib import Path

import pytest
from artemis_loader import settings as loader_settings
from artemis_server.settings import Settings, SettingsError, parse


def serve(*flags: str, **environment: str) -> Settings:
    return parse(["serve", *flags], environment)


def test_defaults_are_those_of_the_settings() -> None:
    assert Settings(command="serve") == serve()


@pytest.mark.parametrize("command", ["serve", "migrate", "check"])
def test_every_command_takes_the_database(command: str) -> None:
    settings = parse([command, "--database-url", "sqlite:///x.db"], {})
    assert command == settings.command
    assert settings.database_url == "sqlite:///x.db"


TWO = ("postgresql://p,q@a/n", "postgresql+psycopg://b,c/n")
SETTINGS = [
    ("database_url", "sqlite:///x.db", "sqlite:///x.db", "sqlite:///y.db"),
    ("database_password_file", "a", Path("a"), "b"),
    ("replica_url", "postgresql://a/n", ("postgresql://a/n",), "postgresql://b/n"),
    ("replica_url", "postgresql://p,q@a/n, postgresql+psycopg://b,c/n", TWO, "postgresql://b/n"),
    ("log_level", "DEBUG", "DEBUG", "ERROR"),
    ("log_level", "warning", "WARNING", "ERROR"),
    ("listen", "127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:2"),
    ("workers", "3", 3, "4"),
    ("threads", "3", 3, "4"),
    ("cores", "all", "all", "one"),
    ("max_concurrent_rpcs", "9", 9, "10"),
    ("max_client_rate", "0", 0, "10"),
    ("max_deadline", "2.5", 2.5, "3"),
    ("max_request_size", "2048", 2048, "4096"),
    ("max_metadata_size", "2048", 2048, "4096"),
    ("max_streams", "1", 1, "2"),
    ("keepalive_time", "1", 1.0, "2"),
    ("keepalive_timeout", "1", 1.0, "2"),
    ("max_connection_age", "600", 600.0, "0"),
    ("max_connection_age_grace", "0", 0.0, "2"),
    ("shutdown_grace", "2.5", 2.5, "3"),
    ("shutdown_grace", "0", 0.0, "3"),
]


@pytest.mark.parametrize(("name", "text", "expected", "other"), SETTINGS)
def test_a_flag_wins_over_the_environment(name: str, text: str, expected: object, other: str) -> None:
    settings = serve(f"--{name.replace('_', '-')}", text, **{f"ARTEMIS_{name.upper()}": other})
    assert expected == getattr(settings, name)


@pytest.mark.parametrize(("name", "text", "expected", "other"), SETTINGS)
def test_the_environment_wins_over_the_default(name: str, text: str, expected: object, other: str) -> None:
    assert expected == getattr(serve(**{f"ARTEMIS_{name.upper()}": text}), name)
    assert getattr(serve(**{f"ARTEMIS_{name.upper()}": other}), name) != expected


@pytest.mark.parametrize("name", ["migrate", "reflection", "insecure"])
@pytest.mark.parametrize(
    ("text", "expected"), [("1", True), ("true", True), ("Yes", True), ("0", False), ("OFF", False)]
)
def test_a_switch_is_set_in_the_environment(name: str, text: str, expected: bool) -> None:
    assert expected is getattr(serve(**{f"ARTEMIS_{name.upper()}": text}), name)


@pytest.mark.parametrize("name", ["migrate", "reflection", "insecure"])
def test_a_switch_on_the_command_line_wins(name: str) -> None:
    variable = f"ARTEMIS_{name.upper()}"
    assert getattr(serve(f"--{name}", **{variable: "0"}), name) is True
    assert getattr(serve(f"--no-{name}", **{variable: "1"}), name) is False


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    names = ("DATABASE_URL", "LOG_LEVEL", "LISTEN", "WORKERS", "THREADS", "CORES", "SHUTDOWN_GRACE")
    switches = ("MIGRATE", "REFLECTION", "INSECURE")
    assert serve() == serve(**{f"ARTEMIS_{name}": "" for name in names + switches})


def exit_code(arguments: Sequence[str], environment: Mapping[str, str]) -> object:
    with pytest.raises(SystemExit) as caught:
        parse(arguments, environment)
    return caught.value.code


BAD = [
    ("workers", "0"),
    ("workers", "auto"),
    ("threads", "0"),
    ("threads", "-1"),
    ("threads", "many"),
    ("threads", "1.5"),
    ("cores", "two"),
    ("cores", "1"),
    ("shutdown-grace", "-1"),
    ("shutdown-grace", "nan"),
    ("shutdown-grace", "inf"),
    ("shutdown-grace", "soon"),
    ("log-level", "LOUD"),
    ("listen", "50051"),
    ("listen", "localhost"),
    ("listen", ":50051"),
    ("listen", "localhost:"),
    ("listen", "localhost:http"),
    ("listen", "localhost:65536"),
    ("listen", "localhost:-1"),
]


@pytest.mark.parametrize(("flag", "text"), BAD)
def test_a_bad_flag_is_a_usage_error(flag: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["serve", f"--{flag}={text}"], {}) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--{flag}" in line


MISSPELT = [
    ("LISTN", "LISTEN"),
    ("LISTENN", "LISTEN"),
    ("AUHT", "AUTH"),
    ("AUTH_TOKEN_FILE", "AUTH_TOKENS_FILE"),
    ("TLS_CRT", "TLS_CERT"),
    ("DATABASE_URI", "DATABASE_URL"),
    ("WORKER", "WORKERS"),
]


@pytest.mark.parametrize(("name", "meant"), MISSPELT)
def test_a_variable_that_is_almost_a_setting_is_refused(name: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=f"^ARTEMIS_{name} is not a setting: is it ARTEMIS_{meant}\\?$"):
        serve(**{f"ARTEMIS_{name}": "1"})


def test_variables_of_others_are_left_alone() -> None:
    """Those of Kubernetes for services with some names, of the loader, of `health`, and empty ones."""
    services = ("", "LOG_", "DATABASE_", "METRICS_", "WORKERS_", "TLS_")
    endings = ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_GRPC", "PORT", "PORT_50051_TCP", "PORT_50051_TCP_ADDR")
    names = [service + ending for service in services for ending in endings]
    names += [field.name.upper() for field in fields(loader_settings.Settings)]
    names += ["TLS_CA", "TLS_CLIENT_CERT", "TLS_CLIENT_KEY", "DATABASE_PASSWORD", "TOKEN", "LISTENER_CLASS"]
    others = {f"ARTEMIS_{name}": "x" for name in names if name.lower() not in vars(Settings)}
    assert serve(**others, ARTEMIS_LISTN="") == serve()


@pytest.mark.parametrize(("flag", "text"), BAD)
def test_a_bad_variable_is_a_usage_error(flag: str, text: str) -> None:
    assert exit_code(["serve"], {f"ARTEMIS_{flag.upper().replace('-', '_')}": text}) == 2


@pytest.mark.parametrize("name", ["MIGRATE", "REFLECTION", "INSECURE"])
def test_a_switch_that_is_neither_on_nor_off_is_a_usage_error(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["serve"], {f"ARTEMIS_{name}": "maybe"}) == 2
    assert f"ARTEMIS_{name} must be one of" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["help"], ["serve", "--nonsense"], ["serve", "extra"], ["migrate", "--listen=x"]]
)
def test_a_command_line_that_means_nothing_is_a_usage_error(arguments: Sequence[str]) -> None:
    assert exit_code(arguments, {}) == 2


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["migrate", "--help"], ["check", "--help"]])
def test_help_is_no_error(arguments: Sequence[str]) -> None:
    assert exit_code(arguments, {}) == 0


def test_help_shows_no_value_of_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["serve", "--help"], {"ARTEMIS_DATABASE_URL": "postgresql://ada:secret@localhost/x"})
    assert "secret" not in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["URL"], ["--database-ulr", "URL"], ["--threads", "URL"]])
def test_a_misplaced_url_does_not_show_its_password(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    url = "postgresql://ada:qx zk@host/artemis"
    assert exit_code(["serve", *(url if each == "URL" else each for each in arguments)], {}) == 2
    said = capsys.readouterr().err
    assert "qx" not in said
    assert "zk" not in said


def test_version_is_the_packages_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--version"], {})
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"artemis-server {version('artemis-server')}\n"


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.1.2.3:50051", "[::1]:50051", "localhost:50051"])
def test_loopback_addresses_are_taken(listen: str) -> None:
    assert listen == serve("--listen", listen).listen


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:50051", "[::]:50051", "192.168.0.1:50051", "example.com:50051", "localhost.example.com:1"]
)
def test_other_addresses_are_refused_unless_insecure(listen: str) -> None:
    for arguments, environment in (
        (["serve", "--listen", listen], {}),
        (["check", "--listen", listen], {}),
        (["serve"], {"ARTEMIS_LISTEN": listen}),
        (["serve", "--no-insecure"], {"ARTEMIS_LISTEN": listen, "ARTEMIS_INSECURE": "1"}),
    ):
        with pytest.raises(SettingsError, match="refusing to listen"):
            parse(arguments, environment)
    assert listen == serve("--listen", listen, "--insecure").listen
    assert listen == serve("--listen", listen, ARTEMIS_INSECURE="1").listen


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        serve().threads = 1  # type: ignore[misc]  # as it should be


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--max-concurrent-rpcs", "7"),
        ("--max-client-rate", "-1"),
        ("--max-deadline", "0"),
        ("--max-deadline", "301"),
        ("--max-request-size", "1023"),
        ("--max-metadata-size", "1073741824"),
        ("--max-streams", "0"),
        ("--keepalive-time", "0"),
        ("--keepalive-timeout", "0.5"),
        ("--max-connection-age", "2592000"),
        ("--max-connection-age-grace", "nan"),
        ("--workers", "1025"),
    ],
)
def test_a_limit_that_would_break_the_server_is_refused(
    flag: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        serve(flag, value)
    assert ended.value.code == 2
    assert f"argument {flag}: '{value}' is not a number" in capsys.readouterr().err
