"""Profiles: named settings of servers, in a TOML file of the user's configuration folder that nobody else may read."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, TypeAlias

import click

Profile: TypeAlias = Mapping[str, str | bool]
"""The settings of a profile by their names, such as {"target": "127.0.0.1:50051"}."""
TEXTS = ("target", "token", "token_file", "ca", "cert", "key")
SWITCHES = ("tls", "insecure")


def path() -> Path:
    """Returns the path of the file, which need not exist: on Linux below XDG_CONFIG_HOME or ~/.config."""
    return Path(click.get_app_dir("artemis")) / "config.toml"


def read() -> dict[str, Profile]:
    """Returns all profiles by name, none if there is no file.

    Raises:
        click.ClickException: the file is not TOML, or has a setting that does not exist or has the wrong type.
    """
    file = path()
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise click.ClickException(f"cannot read {file}: {error}") from None
    profiles = document.pop("profiles", {})
    if document or not isinstance(profiles, dict):
        raise click.ClickException(f"{file}: it may have tables [profiles.NAME] only")
    return {name: _checked(profile, f"{file}: [profiles.{name}]") for name, profile in profiles.items()}


def save(name: str, settings: Profile) -> None:
    """Adds the settings to a profile, which it makes if there is none. Comments of the file are kept."""
    document = _document()
    tables = document.setdefault("profiles", {})
    tables.setdefault(name, {}).update(settings)
    if "token" in settings:
        tables[name].pop("token_file", None)
    if "token_file" in settings:
        tables[name].pop("token", None)
    _write(document)


def delete(name: str) -> None:
    """Removes a profile that exists."""
    document = _document()
    del document["profiles"][name]
    _write(document)


def _checked(profile: Any, where: str) -> Profile:
    if not isinstance(profile, dict):
        raise click.ClickException(f"{where} must be a table")
    for name, value in profile.items():
        if not isinstance(value, str if name in TEXTS else bool) or name not in (*TEXTS, *SWITCHES):
            allowed = f"texts ({', '.join(TEXTS)}) and true or false ({', '.join(SWITCHES)})"
            raise click.ClickException(f"{where} has a wrong setting {name!r}; a profile has {allowed}")
    return profile


def _document() -> Any:
    import tomlkit  # noqa: PLC0415 - only commands that write need it

    read()  # refuses a file that is malformed
    return tomlkit.parse(path().read_text(encoding="utf-8")) if path().exists() else tomlkit.document()


def _write(document: Any) -> None:
    """Replaces the file by one of mode 0600, so that a reader never sees half of it."""
    import tomlkit  # noqa: PLC0415 - likewise

    folder = path().parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=folder, encoding="utf-8", delete=False) as made:  # its mode is 0600
        made.write(tomlkit.dumps(document))
    os.replace(made.name, path().resolve())
