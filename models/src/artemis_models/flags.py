"""Command-line flags that the programs on the database have in common, each of them also an ARTEMIS_* variable.

This module knows argparse, and neither the settings of a program nor the database.
"""

import argparse
import ipaddress
import math
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

PREFIX = "ARTEMIS_"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
MAX_NUMBER = 1_000_000
MAX_PORT = 65535
OFF = "off"
"""The address of metrics that are not served."""
MIN_LIKENESS = 0.88
"""Of two names, as difflib has it: LISTN and LISTEN are 0.91 alike, TLS_CLIENT_CA and TLS_CLIENT_CERT 0.86."""


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, and shows no password when a URL stands where no argument is expected."""

    def error(self, message: str) -> NoReturn:
        """Prints the message, without the usage, which would fill the screen, and exits with 2."""
        shown = re.sub("://.*", "://...", message, flags=re.DOTALL)
        self.exit(2, f"{self.prog}: {' '.join(shown.split())} (see {self.prog} --help)\n")


def misspelt(environment: Mapping[str, str], settings: type, *, but: Container[str]) -> str | None:
    """Returns what is wrong about a variable whose name is almost that of a setting; None if there is none.

    The settings are the fields of a dataclass without those in `but`. Other unknown variables are not ours to refuse:
    those of other programs, and of Kubernetes, which sets ARTEMIS_SERVICE_HOST for a service of the name artemis.

        ARTEMIS_LISTN is not a setting: is it ARTEMIS_LISTEN?
    """
    known = [field.name.upper() for field in fields(settings) if field.name not in but]
    ours = (name for name, value in environment.items() if name.startswith(PREFIX) and value)
    for name in sorted(each.removeprefix(PREFIX) for each in ours):
        swapped = [each for each in known if sorted(each) == sorted(name)]
        near = swapped or get_close_matches(name, known, 1, MIN_LIKENESS)
        if near and name not in known:
            return f"{PREFIX}{name} is not a setting: is it {PREFIX}{near[0]}?"
    return None


class Flags:
    """Adds flags to a parser. Their defaults come from the environment, or else from the class of the settings."""

    def __init__(self, parser: argparse.ArgumentParser, environment: Mapping[str, str], settings: type) -> None:
        self._parser = parser
        self._environment = environment
        self._settings = settings

    def add(self, flag: str, text: str, *, shown: str = "", **options: Any) -> None:
        """Adds --flag; its default is ARTEMIS_FLAG, or else the one in the settings, which the help tells or `shown`.

        An empty variable counts as unset. A default from the environment is text until the `type` converts it.
        """
        name = flag.replace("-", "_")
        fixed = getattr(self._settings, name)
        default = self._environment.get(PREFIX + name.upper()) or fixed
        help_text = f"{text} (default: {shown or fixed})"  # not the environment's value, which may be secret
        self._parser.add_argument(f"--{flag}", default=default, help=help_text, **options)

    def add_common(self) -> None:
        """Adds the flags that every command has."""
        example = "sqlite:////var/lib/artemis.db or postgresql://user@host/name"
        self.add("database-url", f"the database, such as {example}", metavar="URL")
        self.add("database-password-file", "the file with the password", metavar="FILE", type=Path)
        self.add("log-level", "what to log", metavar="LEVEL", type=_log_level)


def positive(text: str) -> int:
    """Returns a number from 1 to MAX_NUMBER. Raises ArgumentTypeError if the text is none."""
    return number(1)(text)


def number(low: int, high: int = MAX_NUMBER) -> Callable[[str], int]:
    """Returns the type of a flag that is a number between two others: it raises ArgumentTypeError for other texts."""

    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,10}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low} to {high}")
        return int(text)

    return parse


def seconds(text: str) -> float:
    """Returns a number of seconds from 0 to MAX_NUMBER. Raises ArgumentTypeError if the text is none."""
    return duration(0)(text)


def duration(low: float, high: float = MAX_NUMBER) -> Callable[[str], float]:
    """Returns the type of a flag that is a number of seconds between two others. It raises ArgumentTypeError."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from {low:g} to {high:g}")
        return value

    return parse


def address(text: str) -> str:
    """Returns the text if it is HOST:PORT or [IPV6]:PORT, and else raises ArgumentTypeError."""
    match = re.fullmatch(r"(?:[^:\[\]]+|\[([0-9A-Fa-f:.]+)\]):([0-9]{1,5})", text)
    try:
        valid = match and int(match[2]) <= MAX_PORT and ipaddress.IPv6Address(match[1] or "::")
    except ValueError:
        valid = None
    if not valid:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT or [IPV6]:PORT")
    return text


def address_or_off(text: str) -> str:
    """Returns OFF if the text is that or empty, and else as `address`."""
    return OFF if text in (OFF, "") else address(text)


def _log_level(text: str) -> str:
    if text.upper() not in LOG_LEVELS:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(LOG_LEVELS)}")
    return text.upper()
