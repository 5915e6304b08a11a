"""Feeds that tests declare as people do: in TOML."""

from pathlib import Path

from artemis_loader.config.reader import read_config
from artemis_loader.feeds import Feed


def declare(folder: Path, text: str) -> Feed:
    """Writes feeds.toml, and returns the one feed that it declares.

    Raises:
        artemis_loader.errors.ConfigError: the feed cannot work.
    """
    path = folder / "feeds.toml"
    path.write_text(text, encoding="utf-8")
    [feed] = read_config(path).feeds.values()
    return feed
