"""The settings of a run: each from the options, else from the environment, else from the profile, else its default."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from artemis_client.cli import profiles
from artemis_client.cli.options import Flags

if TYPE_CHECKING:  # it imports gRPC, which a command that calls nothing does not need
    from artemis_client import ArtemisClient

DEFAULT_TARGET = "127.0.0.1:50051"
DEFAULT_TIMEOUT = 10.0
"""Seconds: a person who has mistyped the target waits for that long."""
_TOKENS = ("token", "token_file")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the server is, who calls it, and how."""

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    """The origin of each value, such as "--target", "ARTEMIS_TARGET" or "profile staging"."""
    timeout: float | None

    @property
    def target(self) -> str:
        """The server."""
        return str(self.values.get("target") or DEFAULT_TARGET)

    def origin(self, name: str) -> str:
        """Returns what gave a setting, for a message."""
        return self.origins.get(name, "the default")


def resolve(flags: Flags, environ: Mapping[str, str] | None = None) -> Settings:
    """Returns the settings of a run. A token and a token file are one setting.

    Raises:
        click.ClickException: there is no such profile, or the file of profiles is malformed.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for given, origin in _levels(flags, environ):
        has_token = any(name in values for name in _TOKENS)
        for name in (*profiles.TEXTS, *profiles.SWITCHES):
            value = given(name)
            if value and name not in values and not (has_token and name in _TOKENS):
                values[name], origins[name] = value, origin(name)
    return Settings(values=values, origins=origins, timeout=flags.get("timeout"))


def connect(settings: Settings, timeout: float = DEFAULT_TIMEOUT) -> "ArtemisClient":
    """Returns the client. `timeout` is the one for this command, in seconds, if the user gives none.

    Raises:
        click.ClickException: a file cannot be read, or the settings contradict each other.
    """
    from artemis_client import ArtemisClient, tls  # noqa: PLC0415 - gRPC is needed from here on

    values = settings.values
    try:
        secure = any(values.get(name) for name in ("tls", "ca", "cert", "key"))
        return ArtemisClient(
            settings.target,
            timeout=settings.timeout or timeout,
            credentials=tls(values.get("ca"), values.get("cert"), values.get("key")) if secure else None,
            token=_token(values),
            insecure=bool(values.get("insecure")),
        )
    except OSError as error:
        raise click.ClickException(f"cannot read {error.filename}: {error.strerror}") from None
    except ValueError as error:
        message = str(error).replace("credentials=tls()", "--tls or --ca").replace("insecure=True", "--insecure")
        raise click.ClickException(message) from None


def _levels(flags: Flags, environ: Mapping[str, str]) -> list[tuple[Callable[[str], Any], Callable[[str], str]]]:
    """Returns the sources of settings, the first one counts: each gives a value by name, and names itself."""
    profile_name = flags.get("profile") or environ.get("ARTEMIS_PROFILE")
    profile = _profile(profile_name) if profile_name else {}
    return [
        (flags.get, lambda name: f"--{name.replace('_', '-')}"),
        (lambda name: environ.get(_variable(name)) if name in profiles.TEXTS else None, _variable),
        (profile.get, lambda _: f"profile {profile_name}"),
    ]


def _variable(name: str) -> str:
    return f"ARTEMIS_{name.upper()}"


def _profile(name: str) -> profiles.Profile:
    found = profiles.read()
    if name not in found:
        known = f"it has {', '.join(found)}" if found else "it has none"
        raise click.UsageError(f"there is no profile {name!r} in {profiles.path()}; {known}")
    return found[name]


def _token(values: Mapping[str, Any]) -> "str | Callable[[], str] | None":
    """Returns the token, or what reads it for each call, so that the file may be replaced during a watch."""
    if "token_file" not in values:
        return values.get("token")
    file = Path(values["token_file"])
    file.read_bytes()  # raises here, with the name of the file
    return lambda: file.read_text(encoding="utf-8").strip()
