"""The settings of a run: each from the options, else from the environment, else from the profile, else its default."""

import os
from collections.abc import Callable, Mapping, Sequence
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
_NAMES = (*profiles.TEXTS, *profiles.SWITCHES)
_ALTERNATIVES = ((("token",), ("token_file",)), (("insecure",), ("tls", "ca", "cert", "key")))
"""Settings of which the one that is given first overrides the others."""
_TRUE, _FALSE = ("true", "1"), ("false", "0")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The server's address, the caller's credentials, and the deadline of calls."""

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
        found = {name: given(name) for name in _NAMES if given(name)}
        for one, other in _ALTERNATIVES:
            both = [[name for name in names if name in found] for names in (one, other)]
            if all(both):
                raise click.UsageError(f"{origin(both[0][0])} and {origin(both[1][0])} contradict each other")
        overridden = {name for one, other in _ALTERNATIVES for name in _overridden(one, other, values)}
        for name in found.keys() - values.keys() - overridden:
            values[name], origins[name] = found[name], origin(name)
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


def _overridden(one: Sequence[str], other: Sequence[str], values: Mapping[str, Any]) -> Sequence[str]:
    """Returns the alternative that an earlier level has ruled out."""
    if any(name in values for name in one):
        return other
    return one if any(name in values for name in other) else ()


def _levels(flags: Flags, environ: Mapping[str, str]) -> list[tuple[Callable[[str], Any], Callable[[str], str]]]:
    """Returns the sources of settings, the first one counts: each gives a value by name, and names itself."""
    profile_name = flags.get("profile") or environ.get("ARTEMIS_PROFILE")
    profile = _profile(profile_name) if profile_name else {}
    return [
        (flags.get, lambda name: f"--{name.replace('_', '-')}"),
        (lambda name: _from_environment(environ, name), _variable),
        (profile.get, lambda _: f"profile {profile_name}"),
    ]


def _variable(name: str) -> str:
    return "ARTEMIS_TLS" if name == "insecure" else f"ARTEMIS_{name.upper()}"


def _from_environment(environ: Mapping[str, str], name: str) -> Any:
    """Returns the value of a variable. ARTEMIS_TLS=true is --tls, and ARTEMIS_TLS=false is --insecure."""
    text = environ.get(_variable(name), "")
    if name not in profiles.SWITCHES or not text:
        return text
    if text.lower() not in (*_TRUE, *_FALSE):
        raise click.UsageError(f"ARTEMIS_TLS must be true or false, not {text!r}")
    return text.lower() in (_TRUE if name == "tls" else _FALSE)


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
