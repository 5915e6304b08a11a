"""Command-line flags that the programs on the database have in common, each of them also an ARTEMIS_* variable.

This module knows argparse, and neither the settings of a program nor the database.
"""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

PREFIX = "ARTEMIS_"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
MAX_NUMBER = 1_000_000_000


class Parser(argparse.ArgumentParser):
    """Shows no password when a database's URL stands where no argument is expected."""

    def error(self, message: str) -> NoReturn:
        """Prints the usage and the message, and exits."""
        super().error(re.sub("://.*", "://...", message, flags=re.DOTALL))


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


def number(text: str) -> int:
    """Returns a number from 0 to MAX_NUMBER. Raises ArgumentTypeError if the text is none."""
    if not re.fullmatch("[0-9]{1,10}", text) or int(text) > MAX_NUMBER:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to {MAX_NUMBER}")
    return int(text)


def positive(text: str) -> int:
    """Returns a number from 1 to MAX_NUMBER. Raises ArgumentTypeError if the text is none."""
    if not re.fullmatch("[0-9]{1,10}", text) or not 1 <= int(text) <= MAX_NUMBER:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def seconds(text: str) -> float:
    """Returns a number of seconds below MAX_NUMBER. Raises ArgumentTypeError if the text is none."""
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number < MAX_NUMBER:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return number


def _log_level(text: str) -> str:
    if text.upper() not in LOG_LEVELS:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(LOG_LEVELS)}")
    return text.upper()
